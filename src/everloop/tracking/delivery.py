"""Bring what a run logged to its home, entry by entry, each once. Tests: tests/unit/tracking/test_courier.py."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

import msgspec

from everloop.core.clock import from_microseconds
from everloop.tracking.spool import Artifact, Batch, End, Start

if TYPE_CHECKING:
    from datetime import datetime
    from pathlib import Path

    from everloop.kernel.objects import Objects
    from everloop.tracking.records import (
        Capture,
        DatasetInput,
        MediaPoint,
        Plain,
        PrintedLine,
        RunArtifact,
        RunStatus,
    )
    from everloop.tracking.series.columns import PointColumns
    from everloop.tracking.spool import Entry

# A content up to this size travels in its batch.
SENT_INLINE = 64 << 10


class Sink(Protocol):
    """Where a run's values go: the verbs of `Tracking` that a run in progress needs. Called by one thread at a time."""

    def create_run(  # noqa: PLR0913 - what a run is
        self,
        *,
        id: str,  # noqa: A002 - as in `Tracking`
        experiment: str,
        name: str,
        params: dict[str, Plain],
        tags: dict[str, str],
        inputs: list[DatasetInput],
        capture: Capture,
        parent: str,
        fork_of: str,
        fork_step: float | None,
        started_at: datetime,
    ) -> object:
        """Start a run; one that exists goes on."""
        ...

    def log_batch(  # noqa: PLR0913 - what a batch may hold
        self,
        run: str,
        *,
        writer: str,
        sequence: int,
        series: list[PointColumns],
        params: dict[str, Plain],
        tags: dict[str, str],
        media: list[MediaPoint],
        lines: list[PrintedLine],
        inputs: list[DatasetInput],
    ) -> int:
        """Apply one batch once."""
        ...

    def record_artifact(self, run: str, *, name: str, digest: str, size_bytes: int) -> RunArtifact:
        """Name a stored object as an output of the run."""
        ...

    def finish_run(
        self, run: str, *, status: RunStatus, error: str = "", ended_at: datetime | None = None
    ) -> object:
        """Close the run."""
        ...


class Delivery:
    """Takes entries of one writer of one run to a sink.

    Args:
        sink, objects: of the home.
        run, writer: ids.
        folder: where the contents of artifacts lie that have not been sent.
    """

    def __init__(
        self, sink: Sink, objects: Objects, *, run: str, writer: str, folder: Path | None = None
    ) -> None:
        self.run, self.writer = run, writer
        self._sink, self._objects, self._folder = sink, objects, folder

    def deliver(self, entry: Entry) -> None:
        """Send one entry; sending it again changes nothing.

        Raises:
            UnavailableError: the home does not answer.
            EverloopError: the home refuses the entry.
        """
        match entry:
            case Start():
                self._start(entry)
            case Batch():
                self._sink.log_batch(
                    self.run,
                    writer=self.writer,
                    sequence=entry.sequence,
                    series=entry.series,
                    params=entry.params,
                    tags=entry.tags,
                    media=self._without_contents(entry.media),
                    lines=entry.lines,
                    inputs=entry.inputs,
                )
            case Artifact():
                self._artifact(entry)
            case End():
                ended = from_microseconds(entry.ended_at)
                self._sink.finish_run(self.run, status=entry.status, error=entry.error, ended_at=ended)

    def _without_contents(self, media: list[MediaPoint]) -> list[MediaPoint]:
        """Put large contents into the object store, and name them there."""
        if not media:
            return media
        from everloop.tracking.keeping import in_objects

        return in_objects(self._objects, media, above=SENT_INLINE)

    def _start(self, start: Start) -> None:
        found = {field: self._objects.put(content) for field, content in start.files.items()}
        self._sink.create_run(
            id=start.id,
            experiment=start.experiment,
            name=start.name,
            params=start.params,
            tags=start.tags,
            inputs=start.inputs,
            capture=msgspec.structs.replace(start.capture, **found),
            parent=start.parent,
            fork_of=start.fork_of,
            fork_step=start.fork_step,
            started_at=from_microseconds(start.started_at),
        )

    def _artifact(self, artifact: Artifact) -> None:
        if self._folder is None:
            return
        content = self._folder / artifact.file
        digest = self._objects.put(content)
        self._sink.record_artifact(
            self.run, name=artifact.name, digest=digest, size_bytes=artifact.size_bytes
        )
