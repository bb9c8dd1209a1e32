"""The verbs of backfills: start one, look at it, pause, go on, cancel.

What a pass does is in backfills.py. Tests: tests/unit/pipelines/test_backfills.py.
"""

from __future__ import annotations

import builtins
from typing import TYPE_CHECKING, Any

from everloop.core.digests import digest_value
from everloop.core.errors import NotFoundError
from everloop.core.ids import new_id
from everloop.kernel.operations import Service, operation
from everloop.pipelines import backfills, queries, schedule_queries
from everloop.pipelines.inputs import InvalidPipelineInputError
from everloop.pipelines.records import RunOptions
from everloop.pipelines.schedule_records import Backfill, BackfillDate

if TYPE_CHECKING:
    from everloop.pipelines.schedule_records import BackfillStatus


class BackfillNotFoundError(NotFoundError):
    """No backfill has this id."""

    code = "pipelines.backfill-not-found"


class Backfills(Service):
    """Runs over past dates, one for each, a few at a time."""

    @operation(
        "POST /backfills",
        needs="pipeline.schedule",
        emits="pipeline.backfill_started",
        cli="pipeline backfill",
    )
    def backfill(  # noqa: PLR0913 - a span, its cadence, and how its runs are made
        self,
        pipeline: str,
        start: str,
        end: str,
        *,
        param: str,
        every: str = "1d",
        cron: str = "",
        timezone: str = "UTC",
        inputs: dict[str, Any] | None = None,
        workers: int = 2,
        is_reversed: bool = False,
        options: RunOptions | None = None,
    ) -> Backfill:
        """Run a registered pipeline once for each date of a span; workers and schedulers do it, a few at a time.

        Asked for again, also with another span, it goes on: dates that finished are left alone, dates that failed or
        were cancelled get a new run with the present code, dates that are new are added.

        Args:
            pipeline: its name.
            start: a date or time, `2013-01-01`; included.
            end: the same; included.
            param: the pipeline's parameter that gets each date: a date for whole days, else a time with its offset.
            every: the interval between dates.
            cron: five fields, instead of `every`.
            timezone: IANA name for times without an offset and for cron.
            inputs: values for the other parameters.
            workers: at most so many of its runs are queued or running at once.
            is_reversed: the latest date first.
            options: how the runs are executed.

        Raises:
            InvalidScheduleError: the span is empty, or a date, interval, expression or zone is none.
            InvalidPipelineInputError: the pipeline has no such parameter.
        """
        cadence, others = cron or every, inputs or {}
        dates = backfills.nominals(start, end, cadence, timezone)
        if workers < 1:
            raise InvalidPipelineInputError(
                f"a backfill with {workers} workers runs nothing. Give at least 1."
            )
        with self.kernel.catalog.transaction() as connection:
            version, _ = queries.require_pipeline(connection, pipeline)
            for name in (param, *others):
                if name not in version.graph.inputs:
                    raise InvalidPipelineInputError(
                        f"the pipeline {pipeline} has no input {name}. Its inputs are: {', '.join(version.graph.inputs)}.",
                        subject=f"pipeline:{pipeline}",
                    )
            made = Backfill(
                id=new_id(),
                pipeline=pipeline,
                param=param,
                cadence=cadence,
                timezone=timezone,
                inputs=others,
                workers=workers,
                is_reversed=is_reversed,
                status="running",
                created_at=self.kernel.clock.now(),
                options=options or RunOptions(),
            )
            identity = digest_value([pipeline, param, cadence, timezone, others])
            found = schedule_queries.insert_backfill(connection, made, identity)
            added = schedule_queries.insert_dates(connection, found, dates)
            again = schedule_queries.open_again(connection, found, dates)
            if not (added or again):
                self.unchanged()
                return self._one(found)
            schedule_queries.set_status(connection, found, "running", None)
            payload = {
                "pipeline": pipeline,
                "from": dates[0],
                "to": dates[-1],
                "added": added,
                "again": again,
            }
            self.emit(connection, subject=f"backfill:{found}", payload=payload)
            return self._one(found)

    @operation("GET /backfills", needs="pipeline.read", cli="pipeline backfills")
    def backfills(self) -> builtins.list[Backfill]:
        """Return every backfill with the counts of its dates, newest first."""
        with self.kernel.catalog.read() as connection:
            return schedule_queries.read_backfills(connection)

    @operation("GET /backfills/{backfill}", needs="pipeline.read", cli="pipeline backfills")
    def get_backfill(self, backfill: str) -> Backfill:
        """Return a backfill with the counts of its dates."""
        return self._one(backfill)

    @operation("GET /backfills/{backfill}/dates", needs="pipeline.read", cli="pipeline backfill-dates")
    def backfill_dates(
        self, backfill: str, *, after: str = "", limit: int = 1000
    ) -> builtins.list[BackfillDate]:
        """Return the dates of a backfill with their runs, in order of time, after the date `after`."""
        self._one(backfill)
        with self.kernel.catalog.read() as connection:
            return schedule_queries.read_dates(connection, backfill, after=after, limit=limit)

    @operation(
        "POST /backfills/{backfill}/pause",
        needs="pipeline.schedule",
        emits="pipeline.backfill_paused",
        cli="pipeline backfill-pause",
    )
    def pause_backfill(self, backfill: str) -> Backfill:
        """Start no further date; those that run end by themselves."""
        return self._set(backfill, "paused", among={"running"})

    @operation(
        "POST /backfills/{backfill}/resume",
        needs="pipeline.schedule",
        emits="pipeline.backfill_resumed",
        cli="pipeline backfill-resume",
    )
    def resume_backfill(self, backfill: str) -> Backfill:
        """Go on with a backfill that is paused, cancelled or has failed: with open dates and those that failed."""
        return self._set(backfill, "running", among={"paused", "cancelled", "failed"})

    @operation(
        "POST /backfills/{backfill}/cancel",
        needs="pipeline.schedule",
        emits="pipeline.backfill_cancelled",
        cli="pipeline backfill-cancel",
    )
    def cancel_backfill(self, backfill: str) -> Backfill:
        """Start no further date and cancel runs that wait; those that a worker has end by themselves."""
        return self._set(backfill, "cancelled", among={"running", "paused", "failed"})

    def _set(self, backfill: str, status: BackfillStatus, *, among: set[str]) -> Backfill:
        now = self.kernel.clock.now()
        with self.kernel.catalog.transaction() as connection:
            if self._one(backfill).status not in among:
                self.unchanged()
                return self._one(backfill)
            if status == "cancelled":
                schedule_queries.cancel_queued(connection, backfill, now)
            if status == "running":
                schedule_queries.open_again(connection, backfill)
            schedule_queries.set_status(connection, backfill, status, now if status == "cancelled" else None)
            self.emit(connection, subject=f"backfill:{backfill}", payload={"status": status})
            return self._one(backfill)

    def _one(self, backfill: str) -> Backfill:
        with self.kernel.catalog.read() as connection:
            found = schedule_queries.read_backfills(connection, backfill_id=backfill)
        if not found:
            raise BackfillNotFoundError(
                f"there is no backfill {backfill}. `everloop pipeline backfills` lists them.",
                subject=f"backfill:{backfill}",
            )
        return found[0]
