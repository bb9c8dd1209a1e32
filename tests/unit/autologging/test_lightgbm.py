"""Trainings of LightGBM, logged without a line for it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import lightgbm
import pytest

import everloop as el
from everloop.registry.model import Model

if TYPE_CHECKING:
    import pandas as pd
    from tests.unit.autologging.conftest import Logged

PARAMS = {"objective": "binary", "metric": ["auc", "binary_logloss"], "verbose": -1, "num_leaves": 4}


def test_train_logs_each_iteration_and_stops_early_as_before(
    logged: Logged, rows: pd.DataFrame, target: pd.Series[int]
) -> None:
    whole = lightgbm.Dataset(rows[:200], target[:200])
    valid = lightgbm.Dataset(rows[200:], target[200:], reference=whole)
    seen: dict[str, dict[str, list[float]]] = {}
    booster = lightgbm.train(
        PARAMS,
        whole,
        num_boost_round=50,
        valid_sets=[valid],
        callbacks=[lightgbm.record_evaluation(seen), lightgbm.early_stopping(3, verbose=False)],
    )
    assert logged.points("valid_0/auc") == seen["valid_0"]["auc"]
    assert logged.points("valid_0/binary_logloss") == seen["valid_0"]["binary_logloss"]
    assert logged.run().params["num_boost_round"] == 50
    assert logged.run().params["metric"] == "['auc', 'binary_logloss']"
    assert logged.metrics()["best_iteration"] == booster.best_iteration
    assert logged.table("feature_gain")["feature"] == ["good", "noise"]
    assert logged.artifacts()["model/model.txt"].startswith(b"tree")


def test_a_set_that_keeps_its_data_gives_a_model_with_a_signature(
    logged: Logged, rows: pd.DataFrame, target: pd.Series[int]
) -> None:
    booster = lightgbm.train(PARAMS, lightgbm.Dataset(rows, target, free_raw_data=False), 5)
    files = {name.removeprefix("model/"): content for name, content in logged.artifacts().items()}
    assert Model.from_files(files).predict(rows).tolist() == pytest.approx(list(booster.predict(rows)))


def test_the_classifier_is_one_training_and_every_tenth_iteration_is_enough_when_asked(
    logged: Logged, rows: pd.DataFrame, target: pd.Series[int]
) -> None:
    el.autolog(app=logged.app, every=10)
    lightgbm.LGBMClassifier(n_estimators=25, verbose=-1).fit(rows, target, eval_X=rows, eval_y=target)
    found = logged.app.tracking.history(logged.run().id, name="valid_0/binary_logloss")
    assert [point.step for point in found] == [0, 10, 20, 24]


def test_cross_validation_logs_its_means(logged: Logged, rows: pd.DataFrame, target: pd.Series[int]) -> None:
    found = lightgbm.cv(PARAMS, lightgbm.Dataset(rows, target), num_boost_round=5, nfold=3)
    [name] = [name for name in logged.metrics() if name.endswith("auc")]
    assert logged.points(name) == found["valid auc-mean"]
