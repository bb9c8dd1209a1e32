"""Triggers as a person types them."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest
from tests.integration.test_schedules_cli import everloop

import everloop as el

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.integration
FLOW = """
from everloop.pipelines import pipeline, step

@step
def count(source: str) -> str:
    return source.upper()

@pipeline
def on_arrival(source: str = "") -> str:
    return count(source)
"""


def test_a_trigger_is_stated_watched_paused_and_deleted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "flow.py").write_text(FLOW)
    (tmp_path / "in").mkdir()
    assert everloop(tmp_path, "pipeline", "register", "flow.py:on_arrival").returncode == 0
    stated = ["pipeline", "trigger", "arrival", "on_arrival", "--on", "file", "--what", f"{tmp_path}/in/*.csv", "--cause-input", "source", "--stable", "0"]  # fmt: skip
    refused = everloop(tmp_path, *stated)
    assert refused.returncode != 0
    assert "EVERLOOP_WATCH" in refused.stderr
    monkeypatch.setenv("EVERLOOP_WATCH", json.dumps([str(tmp_path / "in")]))
    made = everloop(tmp_path, "-o", "json", *stated)
    assert made.returncode == 0, made.stderr
    assert json.loads(made.stdout)["cause_input"] == "source"

    (tmp_path / "in" / "a.csv").write_text("x")
    with el.connect(home=tmp_path / ".everloop") as app:
        assert len(app.pipelines.tick()) == 1  # what the scheduler of `everloop up` does each second
    worked = everloop(tmp_path, "pipeline", "work")
    assert worked.returncode == 0, worked.stderr
    causes = json.loads(everloop(tmp_path, "-o", "json", "pipeline", "causes", "arrival").stdout)
    assert [(one["status"], one["given"]) for one in causes] == [
        ("started", {"source": f"{tmp_path}/in/a.csv"})
    ]
    run = json.loads(everloop(tmp_path, "-o", "json", "pipeline", "runs").stdout)[0]
    assert run["status"] == "finished"

    assert everloop(tmp_path, "pipeline", "trigger-pause", "arrival").returncode == 0
    assert json.loads(everloop(tmp_path, "-o", "json", "pipeline", "triggers").stdout)[0]["is_paused"] is True
    assert everloop(tmp_path, "pipeline", "trigger-start", "arrival").returncode == 0
    assert everloop(tmp_path, "pipeline", "trigger-delete", "arrival").returncode == 0
    assert json.loads(everloop(tmp_path, "-o", "json", "pipeline", "triggers").stdout) == []
