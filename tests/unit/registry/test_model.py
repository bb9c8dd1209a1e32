"""A model is a content-addressed folder of safe files."""

from __future__ import annotations

import json

import lightgbm
import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from everloop.core.errors import InvalidInputError
from everloop.registry.columns import MissingColumnError
from everloop.registry.flavors import UnsupportedModelError
from everloop.registry.flavors.lightgbm import UnclearCategoriesError
from everloop.registry.model import EXAMPLE, Model, ParityError
from everloop.registry.records import Column

ROWS = pd.DataFrame(
    {
        "hour": np.arange(200) % 24,
        "carrier": pd.Categorical(np.where(np.arange(200) % 3, "AA", "B6")),
        "late": np.arange(200) % 24 > 15,
    }
)
FEATURES = ["hour", "carrier"]


def train(rows: pd.DataFrame = ROWS, trees: int = 5) -> Model:
    options = {"objective": "binary", "verbose": -1, "num_threads": 1}
    booster = lightgbm.train(options, lightgbm.Dataset(rows[FEATURES], label=rows["late"]), trees)
    return Model(booster, features=FEATURES, target="late", positive=True, example=rows.head(5))


def test_the_signature_holds_types_and_category_tables() -> None:
    signature = train().signature
    assert signature.inputs == [
        Column(name="hour", kind="long", nullable=True),
        Column(name="carrier", kind="string", nullable=True, categories=["AA", "B6"]),
    ]
    assert signature.output.kind == "probability"


def test_the_same_training_gives_the_same_digest_and_another_does_not() -> None:
    assert train().digest == train().digest
    assert train().digest != train(trees=6).digest


def test_a_model_survives_the_artifact_store() -> None:
    model = train()
    again = Model.__everloop_load__(model.__everloop_artifact__())
    assert again.digest == model.digest
    assert again.predict(ROWS).tolist() == model.predict(ROWS).tolist()


def test_text_is_encoded_by_the_table_of_training_and_unknown_text_is_counted() -> None:
    model = train()
    encoded = model.encode({"hour": [1, 2, 3], "carrier": ["B6", "ZZ", None]})
    assert encoded.matrix[0].tolist() == [1.0, 1.0]
    assert np.isnan(encoded.matrix[1:, 1]).all()
    assert encoded.unknown == {"carrier": 1}
    assert model.predict({"hour": [1], "carrier": ["ZZ"]}) == model.predict(
        {"hour": [1], "carrier": pa.array([None], pa.string())}
    )


def test_rows_and_tables_encode_alike() -> None:
    model = train()
    rows = model.encoder.rows([(1, "B6"), (None, "ZZ")])
    table = model.encoder.table({"hour": [1, None], "carrier": ["B6", "ZZ"]})
    np.testing.assert_array_equal(rows.matrix, table.matrix)
    assert rows.unknown == table.unknown == {"carrier": 1}


def test_a_missing_column_is_named() -> None:
    with pytest.raises(MissingColumnError, match="no column carrier; it has hour"):
        train().predict({"hour": [1]})


def test_an_example_without_the_category_columns_is_refused() -> None:
    options = {"objective": "binary", "verbose": -1, "num_threads": 1}
    booster = lightgbm.train(options, lightgbm.Dataset(ROWS[FEATURES], label=ROWS["late"]), 2)
    plain = ROWS.assign(carrier=ROWS["carrier"].cat.codes)
    with pytest.raises(UnclearCategoriesError, match="1 categorical columns, the example has 0"):
        Model(booster, features=FEATURES, target="late", example=plain)


def test_a_type_without_a_safe_format_is_refused() -> None:
    with pytest.raises(UnsupportedModelError, match="pickle is refused"):
        Model(object(), features=["a"], target="late", example={"a": [1]})


def test_answers_that_differ_from_the_stored_ones_are_found() -> None:
    files = train().files
    other = train(trees=9).files
    files["model.txt"] = other["model.txt"]
    with pytest.raises(ParityError, match="difference of 0"):
        Model.from_files(files).check_parity()


def test_mlflow_finds_its_file_as_json() -> None:
    document = json.loads(train().files["MLmodel"])
    assert document["flavors"]["python_function"] == {"loader_module": "mlflow.lightgbm", "data": "model.txt"}
    assert json.loads(document["signature"]["inputs"])[0] == {
        "name": "hour",
        "required": False,
        "type": "long",
    }


def test_wrong_features_are_refused_at_once() -> None:
    options = {"objective": "binary", "verbose": -1, "num_threads": 1}
    booster = lightgbm.train(options, lightgbm.Dataset(ROWS[["hour"]], label=ROWS["late"]), 2)
    with pytest.raises((InvalidInputError, Exception), match="takes 1 columns, the signature has 2"):
        Model(booster, features=["hour", "late"], target="late", example=ROWS)


def test_the_example_is_kept_with_its_answers() -> None:
    model = train()
    assert len(model.example.predictions) == 5
    assert EXAMPLE in model.files
