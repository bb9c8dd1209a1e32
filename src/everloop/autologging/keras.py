"""Keras 3: `fit`, with every backend. Tests: tests/unit/autologging/test_torch.py."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from everloop.autologging.training import argument, follow, wrap

if TYPE_CHECKING:
    from everloop.autologging.training import Training

_EPOCHS, _BATCH = 3, 2


def install(module: Any) -> None:
    """Follow the trainings of Keras. The backend's own trainer has `fit`, which all models inherit."""
    owner = next(cls for cls in module.Model.__mro__ if "fit" in cls.__dict__)
    wrap(owner, "fit", follow("keras", _before, _after))


def _before(
    training: Training,
    model: Any,
    args: tuple[Any, ...],
    kwargs: dict[str, Any],
) -> tuple[tuple[Any, ...], dict[str, Any]]:
    import keras

    training.run.tag(estimator=type(model).__name__)
    training.params(
        {
            "epochs": argument(args, kwargs, _EPOCHS, "epochs"),
            "batch_size": argument(args, kwargs, _BATCH, "batch_size"),
        }
    )
    training.data(train=argument(args, kwargs, 0, "x"))
    optimizer = getattr(model, "optimizer", None)
    if optimizer is not None:
        plain = {
            name: value
            for name, value in optimizer.get_config().items()
            if isinstance(value, str | int | float | bool)
        }
        training.params(plain, prefix="optimizer.")

    class Each(keras.callbacks.Callback):
        """Logs each epoch."""

        def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
            """Log what was measured."""
            training.safely(training.metrics, logs or {}, epoch)

    given = kwargs.get("callbacks")
    callbacks = [] if given is None else given if isinstance(given, list) else [given]
    return args, {**kwargs, "callbacks": [*callbacks, Each()]}


def _after(
    training: Training, model: Any, result: Any, args: tuple[Any, ...], kwargs: dict[str, Any]
) -> None:
    del result, args, kwargs
    training.params({"parameters": model.count_params()})
    lines: list[str] = []
    model.summary(print_fn=lambda line, *_, **__: lines.append(str(line)), expand_nested=True)
    training.run.log(summary="\n".join(lines))
    training.run.log_artifact("architecture.json", json.dumps(json.loads(model.to_json()), indent=1).encode())
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "model.keras"
        model.save(file)
        training.files({"model.keras": file.read_bytes()})
