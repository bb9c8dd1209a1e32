"""Every flavor passes the suite of `everloop.testing.flavors`."""

from __future__ import annotations

import lightgbm
import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from sklearn.compose import ColumnTransformer
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

from everloop.registry.model import Model
from everloop.testing.flavors import check_flavor

NUMBERS = ["a", "b"]


def frame(rows: int = 300) -> pd.DataFrame:
    generator = np.random.default_rng(4)
    a, b = generator.normal(size=rows), generator.normal(size=rows) * 10
    c = pd.Categorical(generator.choice(["x", "y", "z"], rows))
    late = (a + (c == "x") + generator.normal(size=rows)) > 0.5
    return pd.DataFrame({"a": a, "b": b, "c": c, "late": late})


@pytest.mark.parametrize("objective", ["binary", "regression"])
def test_lightgbm_with_a_category_and_missing_values(objective: str) -> None:
    rows = frame()
    rows.loc[::7, "a"] = np.nan
    features = [*NUMBERS, "c"]
    options = {"objective": objective, "verbose": -1, "num_threads": 1, "min_data_in_leaf": 5}
    booster = lightgbm.train(options, lightgbm.Dataset(rows[features], label=rows["late"].astype(float)), 20)
    model = Model(booster, features=features, target="late", example=rows.head(30), positive=True)

    expected = np.asarray(booster.predict(rows[features].head(40), num_threads=1))
    check_flavor(model, pa.Table.from_pandas(rows.head(40)), expected=expected, explains=True)


def test_lightgbm_with_three_classes() -> None:
    rows = frame()
    label = rows["c"].cat.codes
    options = {"objective": "multiclass", "num_class": 3, "verbose": -1, "num_threads": 1}
    booster = lightgbm.train(options, lightgbm.Dataset(rows[NUMBERS], label=label), 5)
    model = Model(booster, features=NUMBERS, target="c", example=rows, classes=["x", "y", "z"])

    expected = np.asarray(booster.predict(rows[NUMBERS].head(25), num_threads=1))
    check_flavor(model, pa.Table.from_pandas(rows.head(25)), expected=expected, explains=False)


@pytest.mark.parametrize("positive", [True, False])
def test_scaled_logistic_regression_runs_fused(positive: bool) -> None:  # noqa: FBT001 - the case's own values
    rows = frame()
    pipeline = make_pipeline(StandardScaler(), LogisticRegression()).fit(rows[NUMBERS], rows["late"])
    model = Model(pipeline, features=NUMBERS, target="late", example=rows, positive=positive)

    expected = pipeline.predict_proba(rows[NUMBERS].head(30))[:, int(positive)]
    check_flavor(model, pa.Table.from_pandas(rows.head(30)), expected=expected, explains=positive)


def test_linear_regression_explains_itself() -> None:
    rows = frame()
    estimator = LinearRegression().fit(rows[NUMBERS].to_numpy(), rows["late"])
    model = Model(estimator, features=NUMBERS, target="late", example=rows)
    expected = estimator.predict(rows[NUMBERS].head(30).to_numpy())
    check_flavor(model, pa.Table.from_pandas(rows.head(30)), expected=expected, explains=True)


def test_a_pipeline_on_mixed_columns_runs_in_a_frame() -> None:
    rows = frame().astype({"c": "str"})
    features = [*NUMBERS, "c"]
    mixed = ColumnTransformer([("c", OneHotEncoder(handle_unknown="ignore"), ["c"])], remainder="passthrough")
    pipeline = make_pipeline(mixed, LogisticRegression()).fit(rows[features], rows["late"])
    model = Model(pipeline, features=features, target="late", example=rows)
    expected = pipeline.predict_proba(rows[features].head(25))[:, 1]
    check_flavor(model, pa.Table.from_pandas(rows.head(25)), expected=expected, explains=False)


def test_boosted_trees_of_scikit_learn_load_from_our_list_of_trusted_types() -> None:
    rows = frame()
    estimator = HistGradientBoostingClassifier(max_iter=5).fit(rows[NUMBERS].to_numpy(), rows["late"])
    model = Model(estimator, features=NUMBERS, target="late", example=rows)
    expected = estimator.predict_proba(rows[NUMBERS].head(25).to_numpy())[:, 1]
    check_flavor(model, pa.Table.from_pandas(rows.head(25)), expected=expected, explains=False)
