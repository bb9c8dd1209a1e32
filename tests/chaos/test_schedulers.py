"""Any number of schedulers with clocks that differ start each tick once."""

from __future__ import annotations

import subprocess
import sys
import time
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from everloop.data.service import Data
from everloop.pipelines.service import Pipelines
from everloop.tracking import Tracking

if TYPE_CHECKING:
    from everloop.kernel.operations import Kernel
    from everloop.pipelines.schedule_records import CatchUp

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


@pytest.mark.parametrize(("catch_up", "owed"), [("all", 6), ("latest", 1), ("none", 0)])
def test_a_killed_scheduler_loses_and_repeats_no_tick_its_policy_owes(
    any_kernel: Kernel, monkeypatch: pytest.MonkeyPatch, catch_up: CatchUp, owed: int
) -> None:
    monkeypatch.syspath_prepend(str(HERE / "project"))
    from short import short  # on the path of this test only

    pipelines = Pipelines(any_kernel, data=Data(any_kernel), tracking=Tracking(any_kernel))
    pipelines.register(short)
    plan = pipelines.add_schedule(
        "short", cron="0 * * * *", timezone="Europe/Paris", inputs={"x": 1}, catch_up=catch_up
    )
    begin = plan.seen_until.replace(minute=0, second=0, microsecond=0)
    settings = any_kernel.settings
    common = [sys.executable, str(HERE / "programs.py"), "schedule_and_die"]
    place = [str(settings.home), settings.catalog_address]

    for number in ("1", "2", "3") if owed else ("1",):
        died = subprocess.run(
            [*common, *place, number, begin.isoformat(), "6.5"], capture_output=True, timeout=120, check=False
        )
        assert died.returncode != 0 or owed <= 1
    pipelines.tick(begin + timedelta(hours=6.5))

    ticks = pipelines.ticks(plan.id)
    assert len({tick.nominal for tick in ticks}) == len(ticks) == owed
    assert {tick.run for tick in ticks} == {run.id for run in pipelines.runs(pipeline="short")}
    sys.modules.pop("short", None)


def test_two_workers_of_which_one_is_killed_finish_each_date_once(
    any_kernel: Kernel, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(str(HERE / "project"))
    from dated import dated  # type: ignore[import-not-found] # on the path of this test only

    pipelines = Pipelines(any_kernel, data=Data(any_kernel), tracking=Tracking(any_kernel))
    pipelines.register(dated)
    found = pipelines.backfill("dated", "2013-01-01", "2013-01-12", param="day", workers=2)
    settings = any_kernel.settings
    command = [
        sys.executable,
        str(HERE / "programs.py"),
        "work",
        str(settings.home),
        settings.catalog_address,
    ]
    workers = [subprocess.Popen([*command, "2"], stdout=subprocess.PIPE, text=True) for _ in range(2)]

    for worker in workers:
        assert worker.stdout is not None
        assert worker.stdout.readline() == "ready\n"
    time.sleep(0.3)
    workers[0].kill()
    for worker in workers:
        worker.communicate(timeout=120)
    until = time.monotonic() + 60
    while pipelines.get_backfill(found.id).status == "running" and time.monotonic() < until:
        pipelines.work(lease_s=2)

    assert pipelines.get_backfill(found.id).counts == {"finished": 12}
    runs = pipelines.runs(pipeline="dated", limit=1000)
    assert len(runs) == 12
    assert {date.run for date in pipelines.backfill_dates(found.id)} == {run.id for run in runs}
    assert pipelines.get_backfill(found.id).status == "finished"
    sys.modules.pop("dated", None)
