"""PyTorch without a framework around it: the loss of `backward()` and the learning rates of `step()`, into the active run.

A loop has no beginning that could be seen, so no run is started for it. Tests: tests/unit/autologging/test_torch.py.
"""

from __future__ import annotations

import threading
import weakref
from typing import Any

from everloop.autologging.training import Training, current_run, options_for, wrap

# The value of a loss on an accelerator waits for it, so not each one is asked for.
_LOSS_EVERY = 10
_counts: weakref.WeakKeyDictionary[Any, dict[str, int]] = weakref.WeakKeyDictionary()
_lock = threading.Lock()


def install(module: Any) -> None:
    """Follow loops of PyTorch."""
    import torch
    from torch.optim.optimizer import register_optimizer_step_post_hook

    wrap(torch.Tensor, "backward", _backward)
    register_optimizer_step_post_hook(_stepped)
    del module


def _training() -> Training | None:
    options = options_for("torch")
    return Training("torch", options) if options is not None and current_run() is not None else None


def _backward(wrapped: Any, instance: Any, args: Any, kwargs: Any) -> Any:
    training = _training()
    if training is not None:
        training.safely(_log_loss, training, instance)
    return wrapped(*args, **kwargs)


def _log_loss(training: Training, loss: Any) -> None:
    step = _next(training, "loss")
    if loss.numel() == 1 and step % max(_LOSS_EVERY, training.options.every) == 0:
        training.run.log({"loss": float(loss.detach())}, step=step)


def _stepped(optimizer: Any, args: Any, kwargs: Any) -> None:
    del args, kwargs
    training = _training()
    if training is not None:
        training.safely(_log_optimizer, training, optimizer)


def _log_optimizer(training: Training, optimizer: Any) -> None:
    step = _next(training, "step")
    groups = optimizer.param_groups
    if step == 0:
        training.params({"optimizer": type(optimizer).__name__})
        plain = {
            name: value
            for name, value in groups[0].items()
            if isinstance(value, int | float | str | bool | tuple)
        }
        training.params(plain, prefix="optimizer.")
    if step % max(_LOSS_EVERY, training.options.every) == 0:
        rates = {f"lr{at or ''}": group["lr"] for at, group in enumerate(groups)}
        training.run.log({name: float(rate) for name, rate in rates.items()}, step=step)


def _next(training: Training, what: str) -> int:
    with _lock:
        counts = _counts.setdefault(training.run, {})
        counts[what] = counts.get(what, -1) + 1
        return counts[what]
