"""Errors, tokens and forms of requests are those MLflow's clients know."""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING

import pytest
from tests.unit.mlflow_api.conftest import asker

from everloop.core import errors
from everloop.core.actors import Actor, acting_as
from everloop.mlflow_api.endpoints import every_endpoint
from everloop.mlflow_api.errors import answer_of
from everloop.mlflow_api.protocol import Protocol

if TYPE_CHECKING:
    from tests.unit.mlflow_api.conftest import Ask

    from everloop.app import App

RETRIED = {408, 429, 500, 502, 503, 504}


def test_every_endpoint_states_a_permission_but_what_anyone_may_know() -> None:
    assert [route.parts for route, stated in every_endpoint() if not stated.needs] == [("server-info",)]
    assert len(every_endpoint()) > 30


@pytest.mark.parametrize(
    ("method", "path"),
    [("GET", "nothing"), ("POST", "runs/get"), ("GET", "runs/create"), ("GET", "/api/2.0/mlflow"), ("GET", "/api/3.0/mlflow/gateway/x"),
     ("GET", "/ajax-api/2.0/preview/x"), ("POST", "/api/2.0/mlflow-artifacts/mpu/create/x"), ("POST", "/api/2.0/mlflow-artifacts/artifacts/x")],
)  # fmt: skip
def test_what_does_not_exist_is_told_as_an_unknown_endpoint(ask: Ask, method: str, path: str) -> None:
    answer = ask(method, path, {})

    assert (answer.status, answer.json["error_code"]) == (404, "ENDPOINT_NOT_FOUND")
    assert answer.json["message"]


def test_version_and_server_info_are_told_to_anyone(app: App) -> None:
    ask = asker(app, token="secret")

    assert ask("GET", "/version").body == b"3.17.2"
    assert ask("GET", "/api/3.0/mlflow/server-info").json["workspaces_enabled"] is False
    assert ask("GET", "/api/2.0/mlflow/server-info").status == 401


@pytest.mark.parametrize(
    ("header", "status"),
    [("", 401), ("Bearer secret", 200), ("bearer secret", 200), ("Bearer wrong", 401), ("Basic c2VjcmV0", 401), ("Basic %", 401),
     ("Basic " + base64.b64encode(b"ada:secret").decode(), 200), ("Basic " + base64.b64encode(b"secret:ada").decode(), 401)],
)  # fmt: skip
def test_the_token_comes_as_a_bearers_or_as_a_password(app: App, header: str, status: int) -> None:
    ask = asker(app, token="secret", headers={"authorization": header})

    answer = ask("GET", "experiments/get", experiment_id="0")

    assert answer.status == status
    if status == 401:
        assert answer.json["error_code"] == "UNAUTHENTICATED"
        assert answer.headers["www-authenticate"].startswith("Basic")


def test_a_role_that_may_only_read_is_told_what_it_lacks(app: App) -> None:
    with acting_as(Actor(name="user:eve", roles=frozenset({"viewer"}))):
        stated = next(one for route, one in every_endpoint() if route.parts == ("experiments", "create"))
        with pytest.raises(errors.PermissionDeniedError) as caught:
            Protocol(app)._run(
                {"everloop.actor": Actor(name="user:eve", roles=frozenset({"viewer"})), "query_string": b""},
                stated,
                b'{"name":"x"}',
                {},
            )
    status, body = answer_of(caught.value)

    assert status == 403
    assert b"PERMISSION_DENIED" in body
    assert b"run.write" in body


def test_numbers_may_be_texts_and_both_prefixes_answer(ask: Ask) -> None:
    made = ask("POST", "/ajax-api/2.0/mlflow/runs/create", {"experiment_id": "0", "start_time": "1000"})
    run_id = made.json["run"]["info"]["run_id"]
    ask(
        "POST",
        "runs/log-metric",
        {"run_uuid": run_id, "key": "a", "value": "Infinity", "timestamp": "5", "step": "7"},
    )
    bare = b'{"run_id": "%s", "key": "b", "value": NaN, "timestamp": 5}' % run_id.encode()
    assert ask("POST", "runs/log-metric", bare).status == 200

    run = ask("GET", "/api/3.0/mlflow/runs/get", run_uuid=run_id).json["run"]

    assert run["info"]["start_time"] == 1000
    assert [(one["key"], one["value"], one["step"]) for one in run["data"]["metrics"]] == [
        ("a", "Infinity", 7),
        ("b", "NaN", 0),
    ]


@pytest.mark.parametrize("family", errors.EverloopError.__subclasses__())
def test_only_what_may_pass_by_itself_is_retried_by_clients(family: type[errors.EverloopError]) -> None:
    status, body = answer_of(family("what happened"))

    assert b"what happened" in body
    if family.status < 500:
        assert status not in RETRIED


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"[]",
        b"{",
        b'{"experiment_id": 5}',
        b'{"experiment_id": null}',
        b"\xff",
        b'{"tags": "x"}',
        b'{"experiment_id": []}',
        b"null",
        b'"x"',
    ],
)
@pytest.mark.parametrize(
    "path",
    [
        "runs/get",
        "runs/log-batch",
        "runs/search",
        "experiments/create",
        "logged-models/search",
        "runs/log-inputs",
    ],
)
def test_a_body_that_is_no_request_never_makes_a_client_retry(ask: Ask, path: str, body: bytes) -> None:
    assert ask("POST", path, body).status in {200, 400, 404}
