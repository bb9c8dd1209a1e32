"""What a user of full MLflow does on one day: autolog of two libraries, register, load by alias, trace. A program like tour.py.

python features.py http://127.0.0.1:8787
"""

from __future__ import annotations

import json
import sys
import time
from typing import Any

import lightgbm
import mlflow
import numpy as np
import pandas as pd
import sklearn
from mlflow.tracking import MlflowClient
from sklearn.linear_model import LogisticRegression

MARK = f"{time.time_ns():x}"


def frame() -> pd.DataFrame:
    chance = np.random.default_rng(7)
    rows = pd.DataFrame(chance.normal(size=(300, 3)), columns=["a", "b", "c"])
    rows["late"] = (rows["a"] + chance.normal(size=300) > 0).astype(int)
    return rows


def autolog_sklearn(rows: pd.DataFrame) -> tuple[str, Any]:
    mlflow.sklearn.autolog()
    with mlflow.start_run() as run:
        model = LogisticRegression(C=0.5).fit(rows[["a", "b", "c"]], rows["late"])
    found = MlflowClient().get_run(run.info.run_id)
    assert found.data.params["C"] == "0.5"
    assert found.data.metrics["training_accuracy_score"] > 0.6
    assert found.info.status == "FINISHED"
    mlflow.sklearn.autolog(disable=True)
    return str(run.info.run_id), model


def autolog_lightgbm(rows: pd.DataFrame) -> str:
    mlflow.lightgbm.autolog()
    data = lightgbm.Dataset(rows[["a", "b", "c"]], rows["late"])
    with mlflow.start_run() as run:
        lightgbm.train({"objective": "binary", "verbose": -1, "num_threads": 1}, data, 12, valid_sets=[data])
    client = MlflowClient()
    history = client.get_metric_history(run.info.run_id, "training-binary_logloss")
    assert [point.step for point in history] == list(range(12))
    assert client.get_run(run.info.run_id).data.params["objective"] == "binary"
    assert any("feature_importance" in one.path for one in client.list_artifacts(run.info.run_id))
    mlflow.lightgbm.autolog(disable=True)
    return str(run.info.run_id)


def load_by_alias(rows: pd.DataFrame, run_id: str, model: Any) -> None:
    name = f"features-{MARK}"
    version = mlflow.register_model(f"runs:/{run_id}/model", name)
    client = MlflowClient()
    client.set_registered_model_alias(name, "champion", version.version)
    loaded = mlflow.pyfunc.load_model(f"models:/{name}@champion")
    assert (loaded.predict(rows[["a", "b", "c"]]) == model.predict(rows[["a", "b", "c"]])).all()
    again = mlflow.sklearn.load_model(f"models:/{name}/{version.version}")
    assert (again.coef_ == model.coef_).all()
    copied = client.copy_model_version(f"models:/{name}@champion", f"{name}-live")
    assert mlflow.pyfunc.load_model(f"models:/{name}-live/{copied.version}") is not None
    with mlflow.start_run():
        info = mlflow.sklearn.log_model(
            model, name="direct", registered_model_name=name, input_example=rows[["a", "b", "c"]].head(2)
        )
    assert mlflow.pyfunc.load_model(info.model_uri).metadata.signature is not None
    assert client.search_model_versions(f"name = '{name}'")[0].version == "2"


def inputs(rows: pd.DataFrame) -> None:
    with mlflow.start_run() as run:
        mlflow.log_input(mlflow.data.from_pandas(rows, name="flights"), context="training")  # type: ignore[attr-defined]
        mlflow.log_table({"x": [1, 2]}, "table.json")
        mlflow.log_figure(figure(), "figure.png")
    found = mlflow.search_runs(search_all_experiments=True, filter_string="datasets.name = 'flights'")
    assert run.info.run_id in set(found["run_id"])
    assert mlflow.load_table("table.json", run_ids=[run.info.run_id])["x"].tolist() == [1, 2]


def figure() -> Any:
    from matplotlib.figure import Figure

    made = Figure()
    made.subplots().plot([1, 2])
    return made


def ours(reference: str, rows: pd.DataFrame, expected: list[float]) -> None:
    loaded = mlflow.pyfunc.load_model(f"models:/{reference}")
    assert np.allclose(loaded.predict(rows[["a", "b"]]), expected)


def main() -> None:
    """Do everything."""
    mlflow.set_tracking_uri(sys.argv[1])
    mlflow.set_experiment(f"features {MARK}")
    rows = frame()
    run_id, model = autolog_sklearn(rows)
    autolog_lightgbm(rows)
    load_by_alias(rows, run_id, model)
    inputs(rows)
    if (
        len(sys.argv) > 2
    ):  # a model that Everloop registered, a table to ask it about, and what it must answer
        asked = json.loads(sys.argv[3])
        ours(sys.argv[2], pd.DataFrame(asked["rows"]), asked["expected"])
    print(  # noqa: T201 - a program
        json.dumps(
            {"mlflow": mlflow.__version__, "sklearn": sklearn.__version__, "lightgbm": lightgbm.__version__}
        )
    )


if __name__ == "__main__":
    main()
