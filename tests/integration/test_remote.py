"""The same program against a local home and against a running server: same results, same errors."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import pytest
import urllib3

import everloop as el
from everloop.core.errors import NotFoundError, PermissionDeniedError, UnauthenticatedError, UnavailableError
from everloop.kernel.operations.call import KeyReusedError
from everloop.kernel.operations.calls import InvalidArgumentError
from everloop.registry.service import Registry
from everloop.testing.objects import ObjectStoreContract

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.integration.conftest import Server

    from everloop.kernel.objects import Objects

pytestmark = pytest.mark.integration
FEATURES = ["a", "b"]


@pytest.fixture
def remote(api_server: Server) -> Iterator[el.App]:
    with el.connect(api_server.url, token=api_server.token) as app:
        yield app


def frame() -> pd.DataFrame:
    chance = np.random.default_rng(7)
    rows = pd.DataFrame(chance.normal(size=(200, 2)), columns=FEATURES)
    rows["late"] = rows["a"] + chance.normal(size=200) > 0
    return rows


def a_model(rows: pd.DataFrame) -> el.Model:
    import lightgbm

    params = {"objective": "binary", "seed": 0, "num_threads": 1, "verbose": -1}
    booster = lightgbm.train(params, lightgbm.Dataset(rows[FEATURES], rows["late"]), 5)
    return el.Model(booster, features=FEATURES, target="late", example=rows.head(5))


def use_everything(app: el.App, name: str) -> dict[str, Any]:
    """Go through the stages as a user would; return what was seen, without ids and times."""
    rows = frame()
    version = app.data.add(name, rows, message="first")
    again = app.data.add(name, rows)
    with app.tracking.start(experiment=name, params={"trees": 5}) as run:
        for step in range(3):
            run.log(loss=1 / (step + 1), step=step)
    kept = app.tracking.get_run(run.id)
    model = a_model(rows)
    registered = app.registry.register(name, model, data=[version.ref])
    app.registry.set_alias(name, "champion", version=registered.version, reason="the first")
    loaded = app.registry.load(f"{name}@champion")
    return {
        "version": (version.dataset, version.version, version.digest, version.rows),
        "unchanged": again.is_unchanged,
        "rows": app.data.read(name).to_pandas().to_dict("list"),
        "run": (kept.status, kept.experiment, kept.params, [(m.name, m.value) for m in kept.metrics]),
        "history": [point.value for point in app.tracking.history(run.id, name="loss")],
        "model": (registered.version, registered.digest, registered.data),
        "scores": loaded.predict(rows).tolist(),
        "aliases": [found.aliases for found in app.registry.list() if found.name == name],
        "events": [
            event.kind
            for event in app.system.events(limit=1000)
            if name in event.subject or event.subject == f"run:{run.id}"
        ],
    }


def test_a_program_sees_the_same_embedded_and_remote(remote: el.App, tmp_path: Path) -> None:
    with el.connect(home=tmp_path / "home") as embedded:
        here = use_everything(embedded, "delays")

    there = use_everything(remote, "delays")

    assert there == here
    assert here["unchanged"]
    assert {"dataset.versioned", "model.registered", "model.alias_moved"} <= set(here["events"])


def test_an_error_comes_back_as_its_own_class(remote: el.App) -> None:
    with pytest.raises(NotFoundError) as caught:
        remote.data.get("nothing")

    with pytest.raises(type(caught.value)) as again:
        remote.data.get("nothing")
    assert type(caught.value) is not NotFoundError  # the stage's own class, not only its family
    assert caught.value.code != NotFoundError.code
    assert "nothing" in str(again.value)


def test_a_wrong_argument_comes_back_with_its_json_path(remote: el.App) -> None:
    with pytest.raises(InvalidArgumentError) as caught:
        remote.registry.set_alias("delays", "champion", version="first")  # type: ignore[arg-type]

    assert caught.value.code == "operations.invalid-argument"
    assert caught.value.path == "$.version"


def test_a_name_of_any_letters_travels_in_a_path(remote: el.App) -> None:
    for name in ("model:délais@v1", "a b?c#d&e=f%20", "run:x+y"):
        assert remote.system.lineage(name) == []


def test_a_wrong_token_is_refused(api_server: Server) -> None:
    with el.connect(api_server.url, token="wrong") as app, pytest.raises(UnauthenticatedError):
        app.data.list()


def test_without_a_server_the_address_and_the_way_out_are_named() -> None:
    from everloop.kernel.operations.transport import Transport

    with pytest.raises(UnavailableError, match="127.0.0.1:9.*everloop up"):
        Transport("http://127.0.0.1:9").request("GET", "/health", retries=False)


def post(server: Server, path: str, body: dict[str, str], key: str) -> tuple[int, Any]:
    headers = {
        "Authorization": f"Bearer {server.token}", "Content-Type": "application/json", "Idempotency-Key": key,
    }  # fmt: skip
    answer = urllib3.request("PUT", f"{server.url}/api/v1{path}", body=json.dumps(body), headers=headers)
    return answer.status, answer.json()


def test_a_write_that_is_sent_twice_is_done_once(api_server: Server, remote: el.App) -> None:
    path, body = "/silences/deployment:twice/drift", {"duration": "7d", "reason": "known"}

    first = post(api_server, path, body, "key-1")
    second = post(api_server, path, body, "key-1")

    assert first == second
    assert first[0] == 200
    events = [e for e in remote.system.events(kind="alert.silenced") if e.subject == "deployment:twice"]
    assert len(events) == 1


def test_a_key_is_refused_for_another_request(api_server: Server) -> None:
    path = "/silences/deployment:other/drift"
    post(api_server, path, {"duration": "7d", "reason": "known"}, "key-2")

    status, problem = post(api_server, path, {"duration": "8d", "reason": "known"}, "key-2")

    assert status == 409
    assert problem["code"] == KeyReusedError.code


def test_a_client_reads_the_documentation_it_was_made_from(api_server: Server) -> None:
    headers = {"Authorization": f"Bearer {api_server.token}"}
    document = urllib3.request("GET", f"{api_server.url}/api/v1/openapi.json", headers=headers).json()

    assert document["openapi"] == "3.1.0"
    assert "/api/v1/models" in document["paths"]
    assert Registry.stage in {
        tag for path in document["paths"].values() for v in path.values() for tag in v["tags"]
    }


class TestRemoteObjects(ObjectStoreContract):
    @pytest.fixture
    def objects(self, remote: el.App) -> Objects:
        return remote.kernel.objects


def test_a_client_cannot_delete_objects(remote: el.App) -> None:
    digest = remote.kernel.objects.put(b"to stay")

    with pytest.raises(PermissionDeniedError):
        remote.kernel.objects.delete(digest)

    assert remote.kernel.objects.get(digest) == b"to stay"


def test_bytes_that_do_not_hash_to_their_name_are_refused(api_server: Server, remote: el.App) -> None:
    from everloop.core.digests import digest_bytes

    named = digest_bytes(b"what was meant")
    headers = {"Authorization": f"Bearer {api_server.token}"}

    answer = urllib3.request(
        "PUT", f"{api_server.url}/api/v1/objects/{named}", body=b"what was sent", headers=headers
    )

    assert answer.json()["code"] == "objects.digest-mismatch"
    assert not remote.kernel.objects.exists(named)


@pytest.mark.parametrize("name", ["b3:12", "..%2f..%2fcatalog.db", "sha256:" + "0" * 64])
def test_only_digests_name_objects(api_server: Server, name: str) -> None:
    headers = {"Authorization": f"Bearer {api_server.token}"}

    answer = urllib3.request("GET", f"{api_server.url}/api/v1/objects/{name}", headers=headers)

    assert answer.status in (404, 422)


def test_a_function_runs_with_add_here_and_is_refused_there(remote: el.App) -> None:
    remote.data.add("airports", {"faa": ["EWR"]})
    known = el.check.references("dest", table="airports", key="faa")
    few = el.check.python(lambda rows: rows.num_rows < 9)

    version = remote.data.add("flown", {"dest": ["EWR"]}, suite=el.Suite("s", [known, few]))
    run = remote.data.check(version.ref, suite=el.Suite("s", [known]))

    assert run.suite.checks[0].table == "airports@v1"
    with pytest.raises(el.check.InvalidCheckError, match="not given the function"):
        remote.data.check(version.ref, suite=el.Suite("s", [few]))
