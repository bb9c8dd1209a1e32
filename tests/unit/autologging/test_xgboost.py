"""Trainings of XGBoost, logged without a line for it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    import pandas as pd
    from tests.unit.autologging.conftest import Logged

xgboost = pytest.importorskip("xgboost")


def test_train_logs_each_iteration_the_gain_and_the_model(
    logged: Logged, rows: pd.DataFrame, target: pd.Series[int]
) -> None:
    matrix = xgboost.DMatrix(rows, target)
    seen: dict[str, dict[str, list[float]]] = {}
    booster = xgboost.train(
        {"objective": "binary:logistic", "max_depth": 2, "eval_metric": "logloss"},
        matrix,
        num_boost_round=9,
        evals=[(matrix, "train")],
        evals_result=seen,
        verbose_eval=False,
    )
    assert logged.points("train/logloss") == seen["train"]["logloss"]
    assert (logged.run().params["max_depth"], logged.run().params["train.rows"]) == (2, 300)
    assert logged.table("feature_gain")["feature"][0] == "good"
    again = xgboost.Booster(model_file=bytearray(logged.artifacts()["model/model.ubj"]))
    assert again.predict(matrix).tolist() == booster.predict(matrix).tolist()


def test_the_classifier_is_one_training(logged: Logged, rows: pd.DataFrame, target: pd.Series[int]) -> None:
    xgboost.XGBClassifier(n_estimators=4).fit(rows, target, eval_set=[(rows, target)], verbose=False)
    assert len(logged.points("validation_0/logloss")) == 4
