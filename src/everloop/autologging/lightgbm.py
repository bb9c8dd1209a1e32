"""LightGBM: `train` and `cv`, and through them its scikit-learn classes. Tests: tests/unit/autologging/test_lightgbm.py."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from everloop.autologging.training import argument, follow, log_boosting, wrap

if TYPE_CHECKING:
    from everloop.autologging.training import Training

_DATA = 1


def install(module: Any) -> None:
    """Follow the trainings of LightGBM."""
    import sys

    train = follow("lightgbm", _before, _after)
    wrap(module, "train", train)
    wrap(module, "cv", follow("lightgbm", _before, _after_cv))
    classes = sys.modules.get("lightgbm.sklearn")
    if classes is not None:
        wrap(classes, "train", train)


def _before(
    training: Training,
    instance: Any,
    args: tuple[Any, ...],
    kwargs: dict[str, Any],
) -> tuple[tuple[Any, ...], dict[str, Any]]:
    del instance
    _log_data(training, argument(args, kwargs, _DATA, "train_set"))
    return log_boosting(training, args, kwargs, _Each(training))


class _Each:
    """LightGBM's callback: logs each iteration."""

    order = 5  # before early stopping, which ends by an exception

    def __init__(self, training: Training) -> None:
        self._training = training

    def __call__(self, env: Any) -> None:
        """Log an iteration."""
        self._training.safely(_log_iteration, self._training, env)


def _log_iteration(training: Training, env: Any) -> None:
    found = {}
    for data, metric, value, *_ in env.evaluation_result_list or []:
        found[f"{data}/{metric}"] = value
    training.metrics(found, step=env.iteration)


def _log_data(training: Training, dataset: Any) -> None:
    data = getattr(dataset, "data", None)
    if data is not None:
        training.data(train=data)


def _after(
    training: Training, instance: Any, booster: Any, args: tuple[Any, ...], kwargs: dict[str, Any]
) -> None:
    del instance
    training.metrics({"best_iteration": booster.best_iteration, "trees": booster.num_trees()})
    names = booster.feature_name()
    training.safely(training.importance, names, booster.feature_importance("gain").tolist(), kind="gain")
    dataset = argument(args, kwargs, _DATA, "train_set")
    data = getattr(dataset, "data", None)
    if data is None:
        # LightGBM frees the data of a set unless it is told not to; then the booster goes without a signature.
        training.files({"model.txt": booster.model_to_string().encode()})
    else:
        training.model(booster, data, getattr(dataset, "label", None))


def _after_cv(
    training: Training, instance: Any, found: Any, args: tuple[Any, ...], kwargs: dict[str, Any]
) -> None:
    del training, instance, found, args, kwargs  # each iteration was logged as it came
