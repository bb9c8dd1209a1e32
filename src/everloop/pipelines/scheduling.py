"""The verbs of schedules: state them, pause and start them, look at their ticks, make a pass.

What a pass does is in schedules.py. `Pipelines` is this service and more, so that a caller sees one stage. Tests:
tests/unit/pipelines/test_schedules.py.
"""

from __future__ import annotations

import builtins
import itertools
from datetime import datetime, timedelta
from typing import Any

from everloop.core.errors import NotFoundError
from everloop.core.ids import new_id
from everloop.kernel.operations import Service, operation
from everloop.pipelines import backfills, moments, queries, schedule_queries, schedules, triggers
from everloop.pipelines.inputs import InvalidPipelineInputError
from everloop.pipelines.records import RunOptions
from everloop.pipelines.schedule_records import CatchUp, Schedule, Tick, UpcomingTick
from everloop.pipelines.tables import schedule as schedules_table

# Ten years.
_FURTHEST_H = 87_660


class ScheduleNotFoundError(NotFoundError):
    """No schedule has this id."""

    code = "pipelines.schedule-not-found"


class Schedules(Service):
    """What starts runs by itself: cron expressions, intervals, and new versions of a dataset."""

    stage = "pipelines"

    def tick(self, now: datetime | None = None) -> builtins.list[str]:
        """Make one pass of the scheduler; return the ids of the runs it queued."""
        now = now or self.kernel.clock.now()
        return [
            *schedules.tick(self.kernel, now),
            *triggers.advance(self.kernel, now),
            *backfills.advance(self.kernel, now),
        ]

    @operation(
        "POST /schedules", needs="pipeline.schedule", emits="pipeline.scheduled", cli="pipeline schedule"
    )
    def add_schedule(  # noqa: PLR0913 - each cause of runs has its own words
        self,
        pipeline: str,
        *,
        cron: str = "",
        timezone: str = "UTC",
        every: str = "",
        start_at: datetime | None = None,
        end_at: datetime | None = None,
        dataset: str = "",
        dataset_input: str = "",
        inputs: dict[str, Any] | None = None,
        nominal_input: str = "",
        catch_up: CatchUp = "latest",
        options: RunOptions | None = None,
    ) -> Schedule:
        """Start runs of a registered pipeline by time, or for each new version of a dataset.

        Args:
            pipeline: its name.
            cron: five fields, `0 6 * * 1`; or
            every: an interval, `15m`, counted from `start_at`, or from now; `1d` is 24 hours on any day; or
            dataset: a dataset whose new versions start a run.
            timezone: IANA name for the cron fields.
            start_at: an aware time; no tick before it.
            end_at: an aware time; no tick after it.
            dataset_input: the pipeline's parameter that gets the new version; the dataset's name by default.
            inputs: values for the other parameters.
            nominal_input: the pipeline's parameter that gets the nominal time of a tick, as ISO text in the zone.
            catch_up: what missed ticks owe: `latest`, `all` or `none`.
            options: how the runs are executed.

        Raises:
            InvalidScheduleError: not exactly one of cron, every and dataset; a cron expression that is none or never
                fires; no such zone.
        """
        with self.kernel.catalog.read() as connection:
            version, _ = queries.require_pipeline(connection, pipeline)
        _check_cause(cron=cron, every=every, dataset=dataset)
        parameter = (dataset_input or dataset) if dataset else ""
        for name, option in ((parameter, "dataset_input"), (nominal_input, "nominal_input")):
            if name and name not in version.graph.inputs:
                raise InvalidPipelineInputError(
                    f"the pipeline {pipeline} has no input {name}. Name one of {', '.join(version.graph.inputs)} with"
                    f" {option}.",
                    subject=f"pipeline:{pipeline}",
                )
        now = self.kernel.clock.now()
        made = Schedule(
            id=new_id(),
            pipeline=pipeline,
            cron=cron,
            timezone=timezone,
            every=every,
            start_at=start_at,
            end_at=end_at,
            dataset=dataset,
            dataset_input=parameter,
            inputs=inputs or {},
            nominal_input=nominal_input,
            catch_up=catch_up,
            created_at=now,
            seen_until=now,
            position=self.kernel.events.last_position() if dataset else 0,
            options=options or RunOptions(),
        )
        _check(made)
        with self.kernel.catalog.transaction() as connection:
            connection.execute(
                schedules_table.insert().values(
                    {name: getattr(made, name) for name in made.__struct_fields__}
                )
            )
            self.emit(
                connection,
                subject=f"schedule:{made.id}",
                payload={"pipeline": pipeline, "cron": cron, "every": every, "dataset": dataset},
            )
        return made

    @operation("GET /schedules", needs="pipeline.read", cli="pipeline schedules")
    def schedules(self) -> builtins.list[Schedule]:
        """Return every schedule and trigger."""
        with self.kernel.catalog.read() as connection:
            return schedule_queries.read_schedules(connection)

    @operation(
        "POST /schedules/{schedule}/pause",
        needs="pipeline.schedule",
        emits="pipeline.schedule_paused",
        cli="pipeline pause",
    )
    def pause_schedule(self, schedule: str) -> Schedule:
        """Stop a schedule from starting runs; ticks meanwhile are not made up."""
        return self._set_paused(schedule, is_paused=True)

    @operation(
        "POST /schedules/{schedule}/start",
        needs="pipeline.schedule",
        emits="pipeline.schedule_started",
        cli="pipeline start",
    )
    def start_schedule(self, schedule: str) -> Schedule:
        """Let a paused schedule start runs again, from now on."""
        return self._set_paused(schedule, is_paused=False)

    @operation("GET /schedules/{schedule}/ticks", needs="pipeline.read", cli="pipeline ticks")
    def ticks(self, schedule: str, *, limit: int = 100) -> builtins.list[Tick]:
        """Return the latest ticks of a schedule with the runs they started."""
        with self.kernel.catalog.read() as connection:
            return schedule_queries.read_ticks(connection, schedule, limit)

    @operation("GET /upcoming-ticks", needs="pipeline.read", cli="pipeline upcoming")
    def upcoming(
        self, *, hours: float = 24.0, pipeline: str = "", limit: int = 1000
    ) -> builtins.list[UpcomingTick]:
        """Return the ticks of the next hours by time, of every schedule that is not paused.

        Args:
            hours: how far to look ahead.
            pipeline: only of this pipeline.
            limit: at most this many.
        """
        if not 0 < hours <= _FURTHEST_H:
            raise moments.InvalidScheduleError(
                f"{hours:g} hours cannot be looked ahead. Give up to {_FURTHEST_H}."
            )
        now = self.kernel.clock.now()
        plans = [plan for plan in self.schedules() if pipeline in {"", plan.pipeline}]
        found = schedules.upcoming(plans, after=now, until=now + timedelta(hours=hours))
        return builtins.list(itertools.islice(found, limit))

    def _set_paused(self, schedule: str, *, is_paused: bool) -> Schedule:
        position = self.kernel.events.last_position()
        with self.kernel.catalog.transaction() as connection:
            found = schedule_queries.read_schedules(connection, schedule_id=schedule)
            if not found:
                raise ScheduleNotFoundError(
                    f"there is no schedule {schedule}.", subject=f"schedule:{schedule}"
                )
            if found[0].is_paused == is_paused:
                self.unchanged()
                return found[0]
            change: dict[str, object] = {"is_paused": is_paused}
            if not is_paused:
                change |= {"seen_until": self.kernel.clock.now(), "position": position}
            connection.execute(
                schedules_table.update().where(schedules_table.c.id == schedule).values(change)
            )
            self.emit(connection, subject=f"schedule:{schedule}", payload={"is_paused": is_paused})
            return schedule_queries.read_schedules(connection, schedule_id=schedule)[0]


def _check_cause(**causes: object) -> None:
    given = [name for name, value in causes.items() if value]
    if len(given) != 1:
        raise moments.InvalidScheduleError(
            "a schedule has one of a cron expression, an interval, or a dataset to watch; this one has "
            + (" and ".join(given) or "none")
            + "."
        )


def _check(plan: Schedule) -> None:
    """Refuse a schedule that never fires.

    Raises:
        InvalidScheduleError: with the reason.
    """
    if any(moment is not None and moment.tzinfo is None for moment in (plan.start_at, plan.end_at)):
        raise moments.InvalidScheduleError("start_at and end_at need a time zone. Give aware times.")
    if plan.dataset and (plan.start_at or plan.end_at or plan.nominal_input):
        raise moments.InvalidScheduleError("start_at, end_at and nominal_input are for schedules by time.")
    if plan.every:
        moments.check_every(plan.every)
    moments.check_timezone(plan.timezone)
    if plan.cron:
        moments.check_cron(plan.cron, plan.timezone)
    if plan.end_at is not None and plan.end_at < max(plan.start_at or plan.created_at, plan.created_at):
        raise moments.InvalidScheduleError(f"the schedule would end at {plan.end_at}, before it begins.")
