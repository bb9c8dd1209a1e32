"""Trainings of scikit-learn, logged without a line for it."""

from __future__ import annotations

import pickle
from typing import TYPE_CHECKING, Any

import pytest
from sklearn.base import BaseEstimator, ClassifierMixin, clone
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler

import everloop as el
from everloop.registry.model import Model

if TYPE_CHECKING:
    import pandas as pd
    from tests.unit.autologging.conftest import Logged


def test_a_forest_has_params_scores_importance_and_a_model_that_answers_the_same(
    logged: Logged, rows: pd.DataFrame, target: pd.Series[int]
) -> None:
    forest = RandomForestClassifier(7, random_state=1, n_jobs=2).fit(rows, target)

    run = logged.run()
    assert (run.status, run.experiment, run.tags["estimator"]) == (
        "finished",
        "sklearn",
        "RandomForestClassifier",
    )
    assert (run.params["n_estimators"], run.params["train.rows"]) == (7, 300)
    assert logged.metrics()["training/accuracy"] == forest.score(rows, target)
    assert {"training/log_loss", "training/roc_auc", "training/f1", "training_s"} <= logged.metrics().keys()
    assert logged.table("feature_importance")["feature"] == ["good", "noise"]
    files = {name.removeprefix("model/"): content for name, content in logged.artifacts().items()}
    model = Model.from_files(files)
    assert [column.name for column in model.signature.inputs] == ["good", "noise"]
    assert model.signature.output.target == "late"
    assert model.predict(rows).tolist() == forest.predict_proba(rows)[:, 1].tolist()


def test_a_pipeline_is_one_training_into_the_run_that_goes_on(
    logged: Logged, rows: pd.DataFrame, target: pd.Series[int]
) -> None:
    with logged.app.tracking.start(experiment="mine") as mine:
        pipeline: Pipeline = make_pipeline(StandardScaler(), LogisticRegression(C=0.5)).fit(rows, target)
    run = logged.run()
    assert (run.id, run.params["logisticregression__C"]) == (mine.id, 0.5)
    table = logged.table("feature_coefficient")
    assert table["coefficient"] == sorted(pipeline[-1].coef_[0].tolist(), key=lambda one: -abs(one))


def test_a_search_is_logged_as_a_whole_with_all_candidates(
    logged: Logged, rows: pd.DataFrame, target: pd.Series[int]
) -> None:
    search = GridSearchCV(LogisticRegression(), {"C": [0.01, 1.0, 100.0]}, cv=3, n_jobs=2).fit(rows, target)
    assert logged.run().params["best.C"] == search.best_params_["C"]
    assert logged.metrics()["best_score"] == search.best_score_
    candidates = logged.table("candidates")
    assert candidates["param_C"] == ["0.01", "1.0", "100.0"]
    assert candidates["mean_test_score"] == search.cv_results_["mean_test_score"].tolist()


def test_a_regression_and_estimators_of_users_are_logged(logged: Logged, rows: pd.DataFrame) -> None:
    class Mine(ClassifierMixin, BaseEstimator):
        def __init__(self, depth: int = 3) -> None:
            self.depth = depth

        def fit(self, X: Any, y: Any) -> Mine:  # noqa: N803, ARG002 - scikit-learn's names
            self.classes_ = [0, 1]
            return self

        def predict(self, X: Any) -> list[int]:  # noqa: N803 - scikit-learn's name
            return [0] * len(X)

    Mine(depth=5).fit(rows, [0, 1] * 150)
    LinearRegression().fit(rows, rows["good"] * 2)
    mine, regression = sorted(logged.runs(), key=lambda run: run.tags["estimator"], reverse=True)
    assert (mine.params["depth"], mine.tags["model"][:9]) == (5, "not kept:")
    found = {metric.name: metric.value for metric in regression.metrics}
    assert found["training/r2"] == pytest.approx(1)


def test_a_training_that_fails_fails_as_before_and_its_run_says_so(
    logged: Logged, rows: pd.DataFrame
) -> None:
    with pytest.raises(ValueError, match="NaN"):
        LogisticRegression().fit(rows.assign(good=float("nan")), [0, 1] * 150)
    assert (logged.run().status, logged.run().error[:10]) == ("failed", "ValueError")


def test_the_version_that_a_model_was_trained_on_is_an_input_of_its_run(
    logged: Logged, rows: pd.DataFrame, target: pd.Series[int]
) -> None:
    logged.app.data.add("flights", rows.assign(late=target))
    frame = logged.app.data.read("flights").to_pandas()
    LogisticRegression().fit(frame[["good", "noise"]], frame["late"])
    [used] = logged.run().inputs
    assert (used.name, used.ref) == ("train", "flights@v1")


def test_what_goes_wrong_here_does_not_reach_the_training(
    logged: Logged, rows: pd.DataFrame, target: pd.Series[int], caplog: pytest.LogCaptureFixture
) -> None:
    class Odd(LogisticRegression):
        def get_params(self, deep: bool = True) -> dict[str, Any]:  # noqa: FBT001, FBT002 - scikit-learn's own form
            if deep:
                raise RuntimeError("no params today")
            found: dict[str, Any] = super().get_params(deep)
            return found

    Odd().fit(rows, target)
    assert "no params today" in caplog.text
    assert logged.metrics()["training/accuracy"] > 0.9  # type: ignore[operator] # a number


def test_estimators_stay_what_they_were_and_nothing_is_logged_when_it_is_turned_off(
    logged: Logged, rows: pd.DataFrame, target: pd.Series[int]
) -> None:
    el.autolog(disable=True)
    model = pickle.loads(pickle.dumps(clone(LogisticRegression(C=2)).fit(rows, target)))  # noqa: S301 - our own
    assert cross_val_score(model, rows, target, cv=3).mean() > 0.9
    assert logged.runs() == []
    el.autolog(app=logged.app, start_runs=False)
    LogisticRegression().fit(rows, target)
    assert logged.runs() == []
