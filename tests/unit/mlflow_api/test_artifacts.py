"""Artifacts on the edge: keys of a table and objects, never paths of a file system."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from everloop.core.digests import digest_bytes

if TYPE_CHECKING:
    from tests.unit.mlflow_api.conftest import Ask

    from everloop.app import App

ROOT = "/api/2.0/mlflow-artifacts/artifacts"


def test_a_file_goes_in_and_comes_out(ask: Ask, app: App, run_id: str) -> None:
    place = f"{ROOT}/0/{run_id}/artifacts/folder/a.txt"
    assert ask("PUT", place, b"one").status == 200
    assert ask("PUT", place, b"two").status == 200
    empty = f"{ROOT}/0/{run_id}/artifacts/empty"
    assert ask("PUT", empty, b"").status == 200

    answer = ask("GET", place)

    assert (answer.status, answer.body) == (200, b"two")
    assert answer.headers["content-type"] == "text/plain"
    assert answer.headers["content-disposition"] == 'attachment; filename="a.txt"'
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert ask("GET", empty).body == b""
    [named, ours] = app.tracking.artifacts(run_id)
    assert (named.name, ours.name, ours.digest) == ("empty", "folder/a.txt", digest_bytes(b"two"))
    assert ask("GET", "/get-artifact", run_uuid=run_id, path="folder/a.txt").body == b"two"


@pytest.mark.parametrize("size", [(1 << 20) - 1, 1 << 20, (1 << 20) + 1, (9 << 20) + 17])
def test_files_of_any_size_are_whole(ask: Ask, run_id: str, size: int) -> None:
    content = os.urandom(size)
    place = f"{ROOT}/0/{run_id}/artifacts/large.bin"

    assert ask("PUT", place, content).status == 200

    answer = ask("GET", place)
    assert answer.body == content
    assert answer.headers["content-length"] == str(size)


def test_listings_tell_files_and_folders(ask: Ask, run_id: str) -> None:
    for name in ("b/c/d.txt", "b/e.txt", "a.txt"):
        ask("PUT", f"{ROOT}/0/{run_id}/artifacts/{name}", b"12345")

    proxy = ask("GET", ROOT, path=f"0/{run_id}/artifacts/b").json["files"]
    run = ask("GET", "artifacts/list", run_id=run_id, path="b").json

    assert proxy == [{"path": "c", "is_dir": True}, {"path": "e.txt", "is_dir": False, "file_size": 5}]
    assert run["files"] == [
        {"path": "b/c", "is_dir": True},
        {"path": "b/e.txt", "is_dir": False, "file_size": 5},
    ]
    assert run["root_uri"] == f"mlflow-artifacts:/0/{run_id}/artifacts"
    assert ask("GET", "artifacts/list", run_id=run_id, path="a.txt").json["files"] == []


def test_a_folder_is_removed_with_all_below_it_and_nothing_beside(ask: Ask, run_id: str) -> None:
    for name in ("b/c.txt", "b/d/e.txt", "bc.txt"):
        ask("PUT", f"{ROOT}/0/{run_id}/artifacts/{name}", b"x")

    assert ask("DELETE", f"{ROOT}/0/{run_id}/artifacts/b").status == 200

    assert [one["path"] for one in ask("GET", "artifacts/list", run_id=run_id).json["files"]] == ["bc.txt"]
    assert ask("GET", f"{ROOT}/0/{run_id}/artifacts/b/c.txt").json["error_code"] == "RESOURCE_DOES_NOT_EXIST"


def test_places_of_models_are_kept_until_collected_and_are_roots_of_the_collector(ask: Ask, app: App) -> None:
    place = f"{ROOT}/0/models/m-1/artifacts/MLmodel"
    ask("PUT", place, b"flavors: {}")

    app.system.collect_objects(grace="0s", dry_run=False)

    assert ask("GET", place).body == b"flavors: {}"
    assert ask("DELETE", place).status == 200
    assert ask("GET", place).status == 404


@pytest.mark.parametrize(
    "path",
    ["../x", "%2e%2e/x", "%2E%2E%2Fx", "a/%252e%252e/x", "a/%25252e%25252e/b", "a/..;/b", "..%5cx", "a%5c..%5cb", "/etc/passwd",
     "%2fetc%2fpasswd", "a%00b", "a%2500b", "a/../../../../etc/passwd", "a%23b"],
)  # fmt: skip
@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE"])
def test_a_hostile_path_is_refused_in_any_writing(ask: Ask, run_id: str, method: str, path: str) -> None:
    answer = ask(method, f"{ROOT}/0/{run_id}/artifacts/{path}", b"x" if method == "PUT" else None)
    listed = ask("GET", "artifacts/list", run_id=run_id, path=path)

    assert (answer.status, answer.json["error_code"]) == (400, "INVALID_PARAMETER_VALUE")
    assert listed.status == 400
    assert ask("GET", "/get-artifact", run_id=run_id, path=path).status == 400
    assert ask("GET", "artifacts/list", run_id=run_id).json["files"] == []


@pytest.mark.parametrize(
    ("name", "told"),
    [("a.html", "text/plain"), ("a.svg", "text/plain"), ("a.js", "text/plain"), ("a.png", "image/png"), ("a.json", "application/json"),
     ("a", "application/octet-stream"), ("a.pkl", "application/octet-stream"), ("a.csv", "text/plain")],
)  # fmt: skip
def test_nothing_is_sent_that_a_browser_would_run(ask: Ask, run_id: str, name: str, told: str) -> None:
    ask("PUT", f"{ROOT}/0/{run_id}/artifacts/{name}", b"<script>")

    assert ask("GET", f"{ROOT}/0/{run_id}/artifacts/{name}").headers["content-type"] == told


def test_an_artifact_of_no_run_is_not_there(ask: Ask) -> None:
    for method in ("GET", "PUT", "DELETE"):
        answer = ask(method, f"{ROOT}/0/nowhere/artifacts/a", b"x" if method == "PUT" else None)
        assert answer.json["error_code"] == "RESOURCE_DOES_NOT_EXIST"
    assert ask("GET", "/get-artifact", path="a").status == 400
