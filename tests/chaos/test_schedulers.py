"""Any number of schedulers with clocks that differ start each tick once."""

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
TICKS = 1000


def test_a_thousand_ticks_start_a_thousand_runs(any_kernel: Kernel, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(HERE / "project"))
    from short import short  # type: ignore[import-not-found] # on the path of this test only

    pipelines = Pipelines(any_kernel, data=Data(any_kernel), tracking=Tracking(any_kernel))
    pipelines.register(short)
    plan = pipelines.add_schedule("short", cron="* * * * *", inputs={"x": 1}, catch_up="all")
    begin = plan.seen_until.replace(second=0, microsecond=0)
    settings = any_kernel.settings
    common = [
        sys.executable,
        str(HERE / "programs.py"),
        "schedule",
        str(settings.home),
        settings.catalog_address,
    ]
    schedulers = [
        subprocess.Popen(
            [*common, skew, str(TICKS), begin.isoformat()],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for skew in ("2.5", "-1.5", "0.5")
    ]

    for process in schedulers:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
    for process in schedulers:
        assert process.communicate("\n", timeout=120)[0] == "done\n"

    nominal = [tick.nominal for tick in pipelines.ticks(plan.id, limit=5000)]
    assert len(nominal) == len(set(nominal)) == TICKS
    runs = pipelines.runs(pipeline="short", limit=5000)
    assert {run.id for run in runs} == {tick.run for tick in pipelines.ticks(plan.id, limit=5000)}
    assert len(runs) == TICKS
    sys.modules.pop("short", None)
