"""Deleting, the trash, rules and quotas as a user types them, and the same through a server."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest
from click.testing import CliRunner, Result

import everloop
from everloop.cli import everloop as command
from everloop.data.committed import QuotaError
from everloop.data.queries import TrashedError
from everloop.data.retention.records import Quota, RetentionRule

if TYPE_CHECKING:
    from pathlib import Path

    from tests.integration.conftest import Server

pytestmark = pytest.mark.integration


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for number in range(3):
        (tmp_path / "rows.csv").write_text("a\n" + "\n".join(str(number * 100 + row) for row in range(50)))
        run(tmp_path, "data", "add", "t", tmp_path / "rows.csv")
    return tmp_path


def run(folder: Path, *arguments: object) -> Result:
    result = CliRunner().invoke(command, ["--home", str(folder / "home"), *map(str, arguments)])
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result


def test_a_version_goes_into_the_trash_and_comes_back(folder: Path) -> None:
    gone = run(folder, "data", "delete", "t@v1", "--reason", "wrong unit")
    listed = json.loads(run(folder, "-o", "json", "data", "trash").stdout)
    with pytest.raises(TrashedError):
        run(folder, "data", "head", "t@v1")
    back = run(folder, "data", "restore", "t@v1")

    assert "bring it back: everloop data restore t@v1" in gone.output
    assert [(one["ref"], one["reason"]) for one in listed] == [("t@v1", "wrong unit")]
    assert "t@v1 is back" in back.output
    assert run(folder, "data", "head", "t@v1").exit_code == 0


def test_a_rule_is_shown_before_gc_follows_it(folder: Path) -> None:
    run(folder, "data", "tag", "t", "gold", "--at", "v1")
    run(folder, "data", "retain", "t", "--last", "1")
    shown = run(folder, "data", "retention-plan", "t").output
    told = run(folder, "gc", "--dry-run").output
    done = run(folder, "gc").output

    assert "1 versions would go" in shown
    assert "tag gold" in shown
    assert "would move into the trash by rule: t@v2" in told
    assert "moved into the trash by rule: t@v2" in done
    assert run(folder, "data", "remove-ref", "t", "gold").exit_code == 0
    assert run(folder, "data", "delete", "t@v1").exit_code == 0
    assert run(folder, "data", "delete-dataset", "t", "--grace", "1h").exit_code == 0
    assert run(folder, "data", "restore", "t").exit_code == 0


def test_a_quota_is_set_in_sizes_people_write(folder: Path) -> None:
    made = json.loads(run(folder, "-o", "json", "data", "quota", "t", "--refuse", "1.5k").stdout)
    wrong = run(folder, "data", "quota", "t", "--warn", "many")
    shown = json.loads(run(folder, "-o", "json", "data", "quota", "t").stdout)

    assert made == shown
    assert shown["quota"]["refuse_bytes"] == 1500
    assert shown["used_bytes"] > 0
    assert wrong.exit_code == 2
    assert "is no size" in wrong.output


def test_a_client_does_the_same_through_a_server(api_server: Server) -> None:
    with everloop.connect(api_server.url, token=api_server.token) as app:
        for number in range(3):
            app.data.add("kept", {"a": [number]})
        assert [one.ref for one in app.data.retention_plan("kept", rule=RetentionRule(last=1)).going] == [
            "kept@v1",
            "kept@v2",
        ]
        app.data.retain("kept", rule=RetentionRule(last=2))
        app.data.delete("kept@v1")
        with pytest.raises(TrashedError):
            app.data.version("kept@v1")
        assert [one.ref for one in app.data.trash()] == ["kept@v1"]
        app.data.restore("kept@v1")
        app.data.set_quota("kept", quota=Quota(refuse_bytes=app.data.usage("kept").used_bytes))
        with pytest.raises(QuotaError):
            app.data.add("kept", {"a": [9]})
        app.data.delete_dataset("kept")
        assert "kept" not in [one.name for one in app.data.list()]
