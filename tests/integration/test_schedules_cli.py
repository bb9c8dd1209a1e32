"""Schedules and backfills as a person types them."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.integration
FLOW = """
from everloop.pipelines import pipeline, step

@step
def score(day: str, bad: str) -> str:
    if day == bad:
        raise ValueError(f"no data on {day}")
    return day

@pipeline
def daily(day: str = "", bad: str = "") -> str:
    return score(day, bad)
"""


def everloop(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    environment = {name: value for name, value in os.environ.items() if name != "PYTEST_CURRENT_TEST"}
    command = [sys.executable, "-m", "everloop", *arguments]
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "flow.py").write_text(FLOW)
    assert everloop(tmp_path, "pipeline", "register", "flow.py:daily").returncode == 0
    return tmp_path


def test_schedules_are_stated_foreseen_and_refused_with_the_way_out(folder: Path) -> None:
    made = everloop(
        folder, "-o", "json", "pipeline", "schedule", "daily", "--every", "15m", "--from", "2030-01-01"
    )
    assert made.returncode == 0, made.stderr
    cron = everloop(
        folder, "pipeline", "schedule", "daily", "--cron", "0 9 * * *", "--timezone", "Europe/Paris"
    )
    assert cron.returncode == 0, cron.stderr

    found = json.loads(everloop(folder, "-o", "json", "pipeline", "upcoming", "--hours", "48").stdout)
    assert [tick["local"][11:19] for tick in found] == ["09:00:00", "09:00:00"]
    assert {tick["pipeline"] for tick in found} == {"daily"}

    refused = everloop(folder, "pipeline", "schedule", "daily", "--cron", "0 0 30 2 *")
    assert refused.returncode != 0
    assert "never fires" in refused.stderr
    zone = everloop(
        folder, "pipeline", "schedule", "daily", "--cron", "0 9 * * *", "--timezone", "Europ/Paris"
    )
    assert "Did you mean Europe/Paris?" in zone.stderr


def test_a_backfill_of_thirty_days_by_two_workers_and_once_more(folder: Path) -> None:
    command = ["-o", "json", "pipeline", "backfill", "daily", "--from", "2013-01-01", "--to", "2013-01-30"]
    command += ["--param", "day", "--workers", "2"]

    first = everloop(folder, *command)
    second = everloop(folder, *command)

    assert (first.returncode, second.returncode) == (0, 0), first.stderr + second.stderr
    assert "daily: 30 of 30 dates finished" in first.stderr
    found = json.loads(second.stdout)
    assert (found["status"], found["counts"]) == ("finished", {"finished": 30})
    runs = json.loads(everloop(folder, "-o", "json", "pipeline", "runs", "--limit", "100").stdout)
    assert len(runs) == 30
    spans = [(run["started_at"], run["ended_at"]) for run in runs]
    at_once = [sum(begin <= moment < end for begin, end in spans) for moment, _ in spans]
    assert 1 <= max(at_once) <= 2


def test_a_backfill_with_a_failed_date_ends_with_one_and_names_it(folder: Path) -> None:
    command = [
        "pipeline",
        "backfill",
        "daily",
        "--from",
        "2013-01-01",
        "--to",
        "2013-01-03",
        "--param",
        "day",
    ]

    failed = everloop(folder, *command, "-p", "bad=2013-01-02")
    listed = json.loads(everloop(folder, "-o", "json", "pipeline", "backfills").stdout)
    dates = json.loads(everloop(folder, "-o", "json", "pipeline", "backfill-dates", listed[0]["id"]).stdout)

    assert failed.returncode == 1
    assert "2 of 3 dates finished, 1 failed" in failed.stderr
    assert [(date["nominal"], date["status"]) for date in dates if date["status"] != "finished"] == [
        ("2013-01-02", "failed")
    ]
    assert "no data on 2013-01-02" in dates[1]["error"]
