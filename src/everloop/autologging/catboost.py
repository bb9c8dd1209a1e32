"""CatBoost: `fit` of all its classes. Tests: tests/unit/autologging/test_catboost.py."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from everloop.autologging.training import argument, follow, wrap

if TYPE_CHECKING:
    from everloop.autologging.training import Training


def install(module: Any) -> None:
    """Follow the trainings of CatBoost."""
    for name in ("CatBoost", "CatBoostClassifier", "CatBoostRegressor", "CatBoostRanker"):
        wrap(getattr(module, name), "fit", follow("catboost", _before, _after))


def _before(training: Training, instance: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
    training.params(instance.get_params())
    training.data(train=argument(args, kwargs, 0, "X"))


def _after(
    training: Training, instance: Any, result: Any, args: tuple[Any, ...], kwargs: dict[str, Any]
) -> None:
    del result, args, kwargs
    for data, metrics in instance.get_evals_result().items():
        for metric, series in metrics.items():
            for step, value in enumerate(series):
                training.metrics({f"{data}/{metric}": value}, step=step)
    training.metrics({"trees": instance.tree_count_, "best_iteration": instance.get_best_iteration()})
    training.safely(training.importance, instance.feature_names_, instance.get_feature_importance())
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "model.cbm"
        instance.save_model(str(file))
        training.files({"model.cbm": file.read_bytes()})
