"""XGBoost: `train`, and through it its scikit-learn classes. Tests: tests/unit/autologging/test_xgboost.py."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

from everloop.autologging.training import argument, follow, log_boosting, wrap

if TYPE_CHECKING:
    from everloop.autologging.training import Training

_DATA = 1


def install(module: Any) -> None:
    """Follow the trainings of XGBoost."""
    train = follow("xgboost", _before, _after)
    wrap(module, "train", train)
    classes = sys.modules.get("xgboost.sklearn")
    if classes is not None:
        wrap(classes, "train", train)


def _before(
    training: Training,
    instance: Any,
    args: tuple[Any, ...],
    kwargs: dict[str, Any],
) -> tuple[tuple[Any, ...], dict[str, Any]]:
    import xgboost

    del instance
    matrix = argument(args, kwargs, _DATA, "dtrain")
    training.params({"train.rows": matrix.num_row(), "train.columns": matrix.num_col()})

    class Each(xgboost.callback.TrainingCallback):
        """Logs each iteration."""

        def after_iteration(self, model: Any, epoch: int, evals_log: Any) -> bool:
            """Log what was evaluated; go on."""
            del model
            training.safely(_log_iteration, training, epoch, evals_log)
            return False

    return log_boosting(training, args, kwargs, Each())


def _log_iteration(training: Training, epoch: int, found: dict[str, dict[str, list[Any]]]) -> None:
    values = {
        f"{data}/{metric}": series[-1][0] if isinstance(series[-1], tuple) else series[-1]
        for data, metrics in found.items()
        for metric, series in metrics.items()
    }
    training.metrics(values, step=epoch)


def _after(
    training: Training, instance: Any, booster: Any, args: tuple[Any, ...], kwargs: dict[str, Any]
) -> None:
    del instance, args, kwargs
    if "best_iteration" in booster.attributes():
        training.metrics({"best_iteration": booster.best_iteration})
    gains = booster.get_score(importance_type="gain")
    training.importance(gains.keys(), gains.values(), kind="gain")
    training.files({"model.ubj": bytes(booster.save_raw("ubj"))})
