"""What schedules keep: frozen records that travel as JSON. Tests: tests/unit/pipelines/test_schedules.py."""

from __future__ import annotations

from datetime import datetime
from typing import Literal

import msgspec

from everloop.pipelines.moments import Rhythm
from everloop.pipelines.records import Json, RunOptions

CatchUp = Literal["latest", "all", "none"]
BackfillStatus = Literal["running", "paused", "cancelled", "finished", "failed"]


class Schedule(msgspec.Struct, frozen=True, kw_only=True):
    """What starts runs of a pipeline: a cron expression in a time zone, an interval, or new versions of a dataset.

    Attributes:
        cron: five fields; empty for another cause.
        timezone: IANA name.
        every: an interval, `15m`, counted from `start_at`, or from when the schedule was made; empty for another cause.
        start_at, end_at: no tick before and none after.
        dataset: name of the dataset whose new versions start a run; empty for another cause.
        inputs: plain params and dataset refs for each run; a trigger passes the version under `dataset_input`.
        nominal_input: parameter that gets the nominal time of a tick as ISO text in the schedule's zone; empty for none.
        catch_up: what happens to ticks that no scheduler saw: only the `latest`, `all`, or `none`.
        position: of the last event a trigger has seen.
        seen_until: nominal time up to which ticks were considered.
    """

    id: str
    pipeline: str
    cron: str = ""
    timezone: str = "UTC"
    every: str = ""
    start_at: datetime | None = None
    end_at: datetime | None = None
    dataset: str = ""
    dataset_input: str = ""
    inputs: dict[str, Json] = {}
    nominal_input: str = ""
    catch_up: CatchUp = "latest"
    is_paused: bool = False
    created_at: datetime
    seen_until: datetime
    position: int = 0
    options: RunOptions = RunOptions()

    @property
    def rhythm(self) -> Rhythm | None:
        """Return when it fires; None for a trigger."""
        if not (self.cron or self.every):
            return None
        return Rhythm(
            cron=self.cron,
            timezone=self.timezone,
            every=self.every,
            anchor=self.start_at or self.created_at.replace(microsecond=0),
            start_at=self.start_at,
            end_at=self.end_at,
        )


class Tick(msgspec.Struct, frozen=True, kw_only=True):
    """One nominal time, or one event, for which a schedule started a run."""

    schedule: str
    nominal: str
    run: str
    created_at: datetime


class UpcomingTick(msgspec.Struct, frozen=True, kw_only=True):
    """A tick that will come.

    Attributes:
        at: the instant, in UTC.
        local: the same as ISO text in the schedule's zone.
        note: why the wall clock shows another time than the expression asks for, on days when the clocks change.
    """

    at: datetime
    local: str
    schedule: str
    pipeline: str
    timezone: str
    note: str = ""


class Backfill(msgspec.Struct, frozen=True, kw_only=True):
    """Runs of a pipeline over past dates, one for each.

    Attributes:
        param: the pipeline's parameter that gets the date.
        cadence: an interval, `1d`, or a cron expression.
        workers: at most so many of its runs are queued or running at once.
        is_reversed: whether the latest date comes first.
        status: `failed` when it ended and a date has failed.
        counts: of dates by the state of their run; `open` are those without one.
    """

    id: str
    pipeline: str
    param: str
    cadence: str
    timezone: str
    inputs: dict[str, Json]
    workers: int
    is_reversed: bool
    status: BackfillStatus
    created_at: datetime
    ended_at: datetime | None = None
    options: RunOptions = RunOptions()
    counts: dict[str, int] = {}


class BackfillDate(msgspec.Struct, frozen=True, kw_only=True):
    """One date of a backfill; `status` is that of its run, `open` without one."""

    nominal: str
    run: str
    status: str
    error: str = ""
