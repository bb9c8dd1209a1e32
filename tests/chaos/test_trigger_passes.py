"""Any number of schedulers take a cause down once and start one run for it, also when one is killed between."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from everloop.data.service import Data
from everloop.pipelines.service import Pipelines
from everloop.tracking import Tracking

if TYPE_CHECKING:
    from everloop.kernel.operations import Kernel

pytestmark = [pytest.mark.chaos, pytest.mark.integration, pytest.mark.slow]
HERE = Path(__file__).parent
CAUSES = 60


def program(kernel: Kernel, *arguments: str) -> list[str]:
    settings = kernel.settings
    verb, *rest = arguments
    return [
        sys.executable,
        str(HERE / "programs.py"),
        verb,
        str(settings.home),
        settings.catalog_address,
        *rest,
    ]


@pytest.fixture
def pipelines(any_kernel: Kernel, monkeypatch: pytest.MonkeyPatch) -> Pipelines:
    monkeypatch.syspath_prepend(str(HERE / "project"))
    from short import short  # type: ignore[import-not-found] # on the path of this test only

    found = Pipelines(any_kernel, data=Data(any_kernel), tracking=Tracking(any_kernel))
    found.register(short)
    found.add_trigger("rows", "short", on="event", what="run.finished", inputs={"x": 1})
    return found


def happen(pipelines: Pipelines, count: int, start: int = 0) -> None:
    for at in range(start, start + count):
        pipelines.tracking.create_run(id=f"c{at}")
        pipelines.tracking.finish_run(f"c{at}")
    pipelines.kernel.events.seal()


def test_four_schedulers_start_one_run_for_each_cause(pipelines: Pipelines) -> None:
    command = program(pipelines.kernel, "pass_often", "40")
    schedulers = [
        subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) for _ in range(4)
    ]
    for one in schedulers:
        assert one.stdout is not None
        assert one.stdout.readline() == "ready\n"
    for one in schedulers:
        assert one.stdin is not None
        one.stdin.write("\n")
        one.stdin.flush()
    happen(pipelines, CAUSES)
    for one in schedulers:
        assert one.communicate(timeout=120)[0] == "done\n"
    pipelines.tick()

    causes = pipelines.causes("rows", limit=1000)
    runs = [cause.run for cause in causes]
    assert len(causes) == CAUSES
    assert {cause.status for cause in causes} == {"started"}
    assert len(set(runs)) == CAUSES
    assert len(pipelines.runs(limit=1000)) == CAUSES


def test_a_pass_that_is_killed_anywhere_loses_and_doubles_nothing(pipelines: Pipelines) -> None:
    total = 0
    for number in range(1, 7):
        happen(pipelines, 2, total)
        total += 2
        subprocess.run(
            program(pipelines.kernel, "pass_and_die", str(number)), check=False, capture_output=True
        )
        pipelines.tick()
        assert len({cause.run for cause in pipelines.causes("rows", limit=1000)}) == total
        assert len(pipelines.runs(limit=1000)) == total
