"""Lightning: `Trainer.fit` and `test`. Tests: tests/unit/autologging/test_torch.py."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

from everloop.autologging.training import argument, follow, wrap

if TYPE_CHECKING:
    from everloop.autologging.training import Training


def install(module: Any) -> None:
    """Follow the trainings of Lightning."""
    name = module.__name__

    def before(training: Training, trainer: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        _before(training, trainer, args, kwargs, package=name)

    library = "lightning" if name.startswith("lightning") else "pytorch_lightning"
    wrap(module.Trainer, "fit", follow(library, before, _after))


def _before(
    training: Training,
    trainer: Any,
    args: tuple[Any, ...],
    kwargs: dict[str, Any],
    *,
    package: str,
) -> None:
    model = argument(args, kwargs, 0, "model")
    training.params(dict(getattr(model, "hparams", {}) or {}))
    training.params(
        {
            "model": type(model).__name__,
            "parameters": sum(one.numel() for one in model.parameters()),
            "max_epochs": trainer.max_epochs,
            "accumulate_grad_batches": trainer.accumulate_grad_batches,
            "precision": str(trainer.precision),
        }
    )
    each = _each(training, sys.modules[package].Callback)
    trainer.callbacks.append(each)
    training.on_end(lambda: trainer.callbacks.remove(each))


def _each(training: Training, base: Any) -> Any:
    class Each(base):
        """Logs what the model has logged, and the learning rate."""

        def on_train_batch_end(self, trainer: Any, *args: Any, **kwargs: Any) -> None:
            """Log the metrics of a step."""
            del args, kwargs
            training.safely(_log_step, training, trainer)

        def on_train_epoch_end(self, trainer: Any, module: Any) -> None:
            """Log the metrics of an epoch."""
            del module
            training.safely(training.metrics, _epoch(trainer), trainer.current_epoch)

        def on_validation_epoch_end(self, trainer: Any, module: Any) -> None:
            """Log the metrics of a validation."""
            del module
            if not trainer.sanity_checking:
                training.safely(training.metrics, _epoch(trainer), trainer.current_epoch)

    return Each()


def _epoch(trainer: Any) -> dict[str, Any]:
    return {name: value for name, value in trainer.callback_metrics.items() if not name.endswith("_step")}


def _log_step(training: Training, trainer: Any) -> None:
    step = trainer.global_step
    if step % trainer.log_every_n_steps:
        return
    found = {name: value for name, value in trainer.logged_metrics.items() if name.endswith("_step")}
    for at, optimizer in enumerate(trainer.optimizers):
        found[f"lr{at or ''}"] = optimizer.param_groups[0]["lr"]
    training.metrics(found, step)


def _after(
    training: Training, trainer: Any, result: Any, args: tuple[Any, ...], kwargs: dict[str, Any]
) -> None:
    del result, args, kwargs
    training.metrics({"epochs": trainer.current_epoch, "steps": trainer.global_step})
    best = getattr(trainer.checkpoint_callback, "best_model_path", "")
    if best:
        training.params({"best_checkpoint": best})
