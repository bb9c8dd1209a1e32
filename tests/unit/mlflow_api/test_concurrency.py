"""Clients that change one thing at a time lose nothing of each other's changes, also where the database has many writers."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import pytest
from tests.unit.mlflow_api.conftest import asker

if TYPE_CHECKING:
    from everloop.app import App

pytestmark = pytest.mark.integration
TRACE = {
    "trace_id": f"tr-{'a' * 32}",
    "trace_location": {"mlflow_experiment": {"experiment_id": "0"}},
    "request_time": "2026-11-26T12:00:00Z",
}


def test_tags_that_are_set_at_once_are_all_there(postgres_app: App) -> None:
    ask = asker(postgres_app)
    model = ask("POST", "logged-models", {"experiment_id": "0", "name": "m"}).json["model"]["info"][
        "model_id"
    ]
    trace = ask("POST", "/api/3.0/mlflow/traces", {"trace": {"trace_info": TRACE}})
    assert trace.status == 200, trace.json
    postgres_app.registry.create_model("delays")

    def change(at: int) -> None:
        tag = {"key": f"k{at}", "value": "v"}
        ask("PATCH", f"logged-models/{model}/tags", {"tags": [tag]})
        ask("PATCH", f"traces/{TRACE['trace_id']}/tags", tag)
        postgres_app.registry.edit_model("delays", tags={f"k{at}": "v"})

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(change, range(40)))

    wanted = {f"k{at}" for at in range(40)}
    kept = ask("GET", f"logged-models/{model}").json["model"]["info"]["tags"]
    assert {one["key"] for one in kept} == wanted
    assert (
        wanted
        <= ask("GET", f"/api/3.0/mlflow/traces/{TRACE['trace_id']}")
        .json["trace"]["trace_info"]["tags"]
        .keys()
    )
    assert postgres_app.registry.about("delays").tags.keys() == wanted
