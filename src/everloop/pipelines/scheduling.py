"""The verbs of schedules: state them, pause and start them, look at their ticks, make a pass.

What a pass does is in schedules.py. `Pipelines` is this service and more, so that a caller sees one stage. Tests:
tests/unit/pipelines/test_schedules.py.
"""

from __future__ import annotations

import builtins
from typing import TYPE_CHECKING, Any

from everloop.core.errors import NotFoundError
from everloop.core.ids import new_id
from everloop.kernel.operations import Service, operation
from everloop.pipelines import queries, rules, schedules
from everloop.pipelines.inputs import InvalidPipelineInputError
from everloop.pipelines.records import CatchUp, RunOptions, Schedule, Tick
from everloop.pipelines.tables import schedule as schedules_table

if TYPE_CHECKING:
    from datetime import datetime


class ScheduleNotFoundError(NotFoundError):
    """No schedule has this id."""

    code = "pipelines.schedule-not-found"


class Schedules(Service):
    """What starts runs by itself: cron expressions, and new versions of a dataset."""

    stage = "pipelines"

    def tick(self, now: datetime | None = None) -> builtins.list[str]:
        """Make one pass of the scheduler; return the ids of the runs it queued."""
        return schedules.tick(self.kernel, now or self.kernel.clock.now())

    @operation(
        "POST /schedules", needs="pipeline.schedule", emits="pipeline.scheduled", cli="pipeline schedule"
    )
    def add_schedule(
        self,
        pipeline: str,
        *,
        cron: str = "",
        timezone: str = "UTC",
        dataset: str = "",
        dataset_input: str = "",
        inputs: dict[str, Any] | None = None,
        catch_up: CatchUp = "latest",
        options: RunOptions | None = None,
    ) -> Schedule:
        """Start runs of a registered pipeline by time, or for each new version of a dataset.

        Args:
            pipeline: its name.
            cron: five fields, `0 6 * * 1`; or
            dataset: a dataset whose new versions start a run.
            timezone: IANA name for the cron fields.
            dataset_input: the pipeline's parameter that gets the new version; the dataset's name by default.
            inputs: values for the other parameters.
            catch_up: what missed ticks owe: `latest`, `all` or `none`.
            options: how the runs are executed.

        Raises:
            InvalidScheduleError: neither or both of cron and dataset, or a cron expression or zone that is none.
        """
        with self.kernel.catalog.read() as connection:
            version, _ = queries.require_pipeline(connection, pipeline)
        if bool(cron) == bool(dataset):
            raise rules.InvalidScheduleError("a schedule has either a cron expression or a dataset to watch.")
        if cron:
            rules.check_schedule(cron, timezone)
        parameter = (dataset_input or dataset) if dataset else ""
        if parameter and parameter not in version.graph.inputs:
            raise InvalidPipelineInputError(
                f"the pipeline {pipeline} has no input {parameter}. Name the one that takes the version with dataset_input.",
                subject=f"pipeline:{pipeline}",
            )
        now = self.kernel.clock.now()
        made = Schedule(
            id=new_id(),
            pipeline=pipeline,
            cron=cron,
            timezone=timezone,
            dataset=dataset,
            dataset_input=parameter,
            inputs=inputs or {},
            catch_up=catch_up,
            created_at=now,
            seen_until=now,
            position=self.kernel.events.last_position() if dataset else 0,
            options=options or RunOptions(),
        )
        with self.kernel.catalog.transaction() as connection:
            connection.execute(
                schedules_table.insert().values(
                    {name: getattr(made, name) for name in made.__struct_fields__}
                )
            )
            self.emit(
                connection,
                subject=f"schedule:{made.id}",
                payload={"pipeline": pipeline, "cron": cron, "dataset": dataset},
            )
        return made

    @operation("GET /schedules", needs="pipeline.read", cli="pipeline schedules")
    def schedules(self) -> builtins.list[Schedule]:
        """Return every schedule and trigger."""
        with self.kernel.catalog.read() as connection:
            return queries.read_schedules(connection)

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
            return queries.read_ticks(connection, schedule, limit)

    def _set_paused(self, schedule: str, *, is_paused: bool) -> Schedule:
        position = self.kernel.events.last_position()
        with self.kernel.catalog.transaction() as connection:
            found = queries.read_schedules(connection, schedule_id=schedule)
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
            return queries.read_schedules(connection, schedule_id=schedule)[0]
