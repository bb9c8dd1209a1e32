"""The verbs that bring values: batches of points, params and tags, and artifacts. Tests: tests/unit/tracking/test_recording.py."""

from __future__ import annotations

import builtins
from collections import defaultdict
from typing import TYPE_CHECKING, NoReturn

import sqlalchemy as sa

from everloop.core.clock import to_microseconds
from everloop.core.digests import Digest, parse_digest
from everloop.core.errors import ConflictError, NotFoundError
from everloop.kernel.operations import Service, operation
from everloop.tracking import queries
from everloop.tracking.naming import check_names, check_texts
from everloop.tracking.records import DatasetInput, MediaPoint, Plain, Point, PrintedLine, RunArtifact
from everloop.tracking.series.columns import PointColumns, pack
from everloop.tracking.tables import run_artifact, run_input

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from everloop.tracking.queries import RunRow


class RunNotFoundError(NotFoundError):
    """No run has this id."""

    code = "tracking.run-not-found"


class RunDeletedError(ConflictError):
    """A run in the trash takes no values."""

    code = "tracking.run-deleted"


class Recording(Service):
    """Values of runs."""

    @operation(
        "POST /runs/{run}/batches",
        needs="run.write",
        emits="run.logged",
        cli=None,
        cli_reason="values come from code",
    )
    def log_batch(  # noqa: PLR0913 - what a batch may hold
        self,
        run: str,
        *,
        writer: str = "",
        sequence: int = 0,
        points: builtins.list[Point] | None = None,
        series: builtins.list[PointColumns] | None = None,
        params: dict[str, Plain] | None = None,
        tags: dict[str, str] | None = None,
        media: builtins.list[MediaPoint] | None = None,
        lines: builtins.list[PrintedLine] | None = None,
        inputs: builtins.list[DatasetInput] | None = None,
    ) -> int:
        """Apply one batch of values, all or nothing; return how many points were added.

        Args:
            run: its id.
            writer: who sends; the batches of a writer are numbered, and one that was applied before changes nothing.
                Without a writer each call counts.
            sequence: number of the batch, rising.
            points: values one by one.
            series: values as columns, which cost a tenth.
            params: values to set; a name that is there gets the new value.
            tags: labels to set.
            media: texts, pictures, tables and the like, each at a step; the same name, step and index again replaces.
            lines: what the program printed.
            inputs: dataset versions that the run reads, beside those it was started with.

        Raises:
            RunNotFoundError, RunDeletedError, BadNameError, TextTooLongError, BadColumnsError, BadMediaError: as named.
        """
        from everloop.tracking.keeping import keep_media, put_lines, put_media

        whole = [*(series or []), *_as_series(points or [])]
        names = {one.name for one in media or []}
        check_names([*(one.name for one in whole), *(params or {}), *(tags or {}), *names])
        shown = keep_media(self.kernel.objects, media or [])
        check_texts({**(params or {}), **(tags or {})})
        with self.kernel.catalog.transaction() as connection:
            self.unchanged()  # values are no events: a run may log a million
            row = self.writable(connection, run)
            if writer and not queries.is_new_batch(connection, row.number, writer=writer, sequence=sequence):
                return 0
            put_media(connection, row.number, shown)
            put_lines(connection, row.number, lines or [])
            if inputs:
                event = self.emit(connection, subject=f"run:{run}", payload={"inputs": inputs})
                self.link_inputs(connection, row.number, run, inputs, event)
            return self.apply(connection, row, series=whole, params=params or {}, tags=tags or {})

    def link_inputs(
        self, connection: sa.Connection, number: int, run: str, inputs: Sequence[DatasetInput], event: str
    ) -> None:
        """Note the dataset versions that a run reads, with their edges of lineage."""
        rows = [{"run": number, "name": item.name, "ref": item.ref, "digest": item.digest} for item in inputs]
        queries.put_rows(connection, run_input, rows, change=("ref", "digest"))
        for item in inputs:
            self.kernel.events.link(
                connection, source=f"dataset:{item.ref}", verb="read", target=f"run:{run}", event=event
            )

    def apply(
        self,
        connection: sa.Connection,
        row: RunRow,
        *,
        series: Sequence[PointColumns] = (),
        params: Mapping[str, Plain] | None = None,
        tags: Mapping[str, str] | None = None,
    ) -> int:
        """Write checked values of a locked run in the caller's transaction; return how many points were added."""
        from everloop.tracking.series import keeping

        points, change = keeping.append(connection, row, series) if series else (0, {})
        queries.set_params(connection, row.number, params or {}, experiment_id=row.experiment_id)
        queries.set_tags(connection, row.number, tags or {}, experiment_id=row.experiment_id)
        queries.change_run(connection, row.number, **change)
        return points

    def writable(self, connection: sa.Connection, run: str) -> RunRow:
        """Return a run that takes values, locked until the commit.

        Raises:
            RunNotFoundError, RunDeletedError: as named.
        """
        row = queries.lock(connection, run)
        if row is None:
            self.missing(run)
        if row.is_deleted:
            raise RunDeletedError(
                f"run {run} is in the trash and takes no values. Take it back with `everloop runs restore {run}`.",
                subject=f"run:{run}",
            )
        return row

    @operation(
        "GET /runs/{run}/writers/{writer}",
        needs="run.read",
        cli=None,
        cli_reason="asked by a client that goes on",
    )
    def last_batch(self, run: str, writer: str) -> int:
        """Return the number of a writer's last batch that was applied; -1 when there was none."""
        with self.kernel.catalog.read() as connection:
            number = queries.number_of(connection, run)
            if number is None:
                self.missing(run)
            return queries.last_sequence(connection, number, writer)

    @operation(
        "POST /runs/{run}/artifacts",
        needs="run.write",
        emits="run.artifact_recorded",
        cli=None,
        cli_reason="from code",
    )
    def record_artifact(self, run: str, *, name: str, digest: str, size_bytes: int) -> RunArtifact:
        """Name a stored object as an output of a run; the same name again replaces it."""
        check_names([name])
        artifact = RunArtifact(
            run=run,
            name=name,
            digest=parse_digest(digest),
            size_bytes=size_bytes,
            created_at=self.kernel.clock.now(),
        )
        with self.kernel.catalog.transaction() as connection:
            row = self.writable(connection, run)
            values = {
                "run": row.number,
                "name": name,
                "digest": artifact.digest,
                "size_bytes": size_bytes,
                "created_at": artifact.created_at,
            }
            queries.put_rows(
                connection, run_artifact, [values], change=("digest", "size_bytes", "created_at")
            )
            self.emit(connection, subject=f"run:{run}", payload={"name": name, "digest": digest})
        return artifact

    @operation("GET /runs/{run}/artifacts", needs="run.read", cli="runs artifacts")
    def artifacts(self, run: str) -> builtins.list[RunArtifact]:
        """Return the artifacts of a run by name."""
        with self.kernel.catalog.read() as connection:
            number = queries.number_of(connection, run)
            if number is None:
                self.missing(run)
            query = sa.select(run_artifact).where(run_artifact.c.run == number).order_by(run_artifact.c.name)
            return [
                RunArtifact(
                    run=run,
                    name=row.name,
                    digest=Digest(row.digest),
                    size_bytes=row.size_bytes,
                    created_at=row.created_at,
                )
                for row in connection.execute(query)
            ]

    def missing(self, run: str) -> NoReturn:
        """Raise the error of a run that is not there."""
        raise RunNotFoundError(
            f"there is no run {run}. `everloop runs ls` lists the runs.", subject=f"run:{run}"
        )


def _as_series(points: Sequence[Point]) -> builtins.list[PointColumns]:
    found: dict[str, builtins.list[Point]] = defaultdict(list)
    for point in points:
        found[point.name].append(point)
    return [
        pack(
            name,
            [point.step for point in part],
            [to_microseconds(point.time) for point in part],
            [_float(point) for point in part],
        )
        for name, part in found.items()
    ]


def _float(point: Point) -> float:
    return float(point.mark or "nan") if point.value is None else point.value
