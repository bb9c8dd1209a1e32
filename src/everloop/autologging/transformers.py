"""Hugging Face: `Trainer.train`. Tests: tests/unit/autologging/test_torch.py."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from everloop.autologging.training import follow, wrap

if TYPE_CHECKING:
    from everloop.autologging.training import Training

_PARAMS = (
    "learning_rate", "num_train_epochs", "max_steps", "per_device_train_batch_size", "gradient_accumulation_steps", "weight_decay", "warmup_steps",
    "lr_scheduler_type", "optim", "seed", "bf16", "fp16",
)  # fmt: skip


def install(module: Any) -> None:
    """Follow the trainings of Hugging Face's Trainer."""
    wrap(module.Trainer, "train", follow("transformers", _before, _after))


def _before(training: Training, trainer: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
    from transformers import TrainerCallback

    del args, kwargs
    training.params({name: getattr(trainer.args, name, None) for name in _PARAMS})
    training.params({"model": type(trainer.model).__name__, "parameters": trainer.model.num_parameters()})

    class Each(TrainerCallback):
        """Logs what the trainer logs."""

        def on_log(self, args: Any, state: Any, control: Any, logs: Any = None, **kwargs: Any) -> None:
            """Log the numbers of a step."""
            del args, control, kwargs
            training.safely(training.metrics, logs or {}, state.global_step)

    trainer.add_callback(Each)
    training.on_end(lambda: trainer.remove_callback(Each))


def _after(
    training: Training, trainer: Any, result: Any, args: tuple[Any, ...], kwargs: dict[str, Any]
) -> None:
    del args, kwargs
    del trainer
    training.metrics(result.metrics, result.global_step)
