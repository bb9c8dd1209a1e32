"""Trainings of CatBoost, logged without a line for it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from pathlib import Path

    import pandas as pd
    from tests.unit.autologging.conftest import Logged

catboost = pytest.importorskip("catboost")


def test_fit_logs_each_iteration_importance_and_the_model(
    logged: Logged, rows: pd.DataFrame, target: pd.Series[int], tmp_path: Path
) -> None:
    model = catboost.CatBoostClassifier(iterations=6, depth=2, verbose=False, train_dir=str(tmp_path))
    model.fit(rows, target, eval_set=(rows, target))
    assert logged.points("validation/Logloss") == model.get_evals_result()["validation"]["Logloss"]
    assert logged.run().params["depth"] == 2
    assert logged.table("feature_importance")["feature"][0] == "good"
    again = catboost.CatBoostClassifier().load_model(blob=logged.artifacts()["model/model.cbm"])
    assert again.predict(rows).tolist() == model.predict(rows).tolist()
