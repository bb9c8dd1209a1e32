"""The verbs that read what a run showed: media at steps, and what its program printed. Tests: tests/unit/tracking/test_showing.py."""

from __future__ import annotations

import builtins
from collections import deque
from typing import TYPE_CHECKING, Annotated, Any

import msgspec

from everloop.kernel.operations import operation
from everloop.tracking import queries
from everloop.tracking.recording import Recording
from everloop.tracking.records import MediaItem, MediaKind, OutputLine

if TYPE_CHECKING:
    import sqlalchemy as sa


class Showing(Recording):
    """Media and output of runs."""

    @operation("GET /runs/{run}/media", needs="run.read", cli="runs media")
    def media(
        self,
        run: str,
        *,
        name: str = "",
        kind: MediaKind | None = None,
        after: float | None = None,
        until: float | None = None,
        limit: Annotated[int, msgspec.Meta(ge=1, le=10_000)] = 100,
    ) -> builtins.list[MediaItem]:
        """Return the pictures, sounds, tables, texts and distributions of a run by name, step and index.

        Args:
            run: its id.
            name: only of this name.
            kind: only of this kind.
            after: only steps above this one.
            until: only steps up to this one, inclusive.
            limit: at most this many.
        """
        from everloop.tracking.keeping import read_media

        with self.kernel.catalog.read() as connection:
            number = self._number_of(connection, run)
            return read_media(
                connection, number, run, name=name, kind=kind, after=after, until=until, limit=limit
            )

    def media_content(self, item: MediaItem) -> bytes:
        """Return the bytes of a picture, sound or the like."""
        return item.content if item.digest is None else self.kernel.objects.get(item.digest)

    def read_media(self, item: MediaItem) -> Any:  # noqa: ANN401 - by kind
        """Return a text as `str`, a vector or points as an array, a histogram as counts and borders, a table as Arrow, all else as bytes."""
        from everloop.tracking.media.reading import read

        return read(item, self.media_content(item))

    @operation("GET /runs/{run}/output", needs="run.read", cli="runs output")
    def output(
        self,
        run: str,
        *,
        search: str = "",
        first: Annotated[int, msgspec.Meta(ge=0)] = 0,
        limit: Annotated[int, msgspec.Meta(ge=1, le=100_000)] = 10_000,
        tail: bool = False,
    ) -> builtins.list[OutputLine]:
        """Return lines that the program of a run printed.

        Args:
            run: its id.
            search: only lines with this text, whatever its case.
            first: only lines from this number on.
            limit: at most this many.
            tail: the last ones instead of the first.
        """
        from everloop.tracking import keeping

        text = search.lower()
        found: deque[OutputLine] = deque(maxlen=limit if tail else None)
        with self.kernel.catalog.read() as connection:
            number = self._number_of(connection, run)
            if tail and not text:
                first = max(first, keeping.count_lines(connection, number) - limit)
            for row in keeping.read_rows(connection, number, first=first):
                found += [
                    line
                    for line in keeping.lines_in(row)
                    if line.number >= first and (not text or text in line.text.lower())
                ]
                if not tail and len(found) >= limit:
                    break
        return builtins.list(found)[:limit]

    def _number_of(self, connection: sa.Connection, run: str) -> int:
        number = queries.number_of(connection, run)
        return self.missing(run) if number is None else number
