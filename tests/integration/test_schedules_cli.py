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
