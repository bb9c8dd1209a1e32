"""The verb that reads the log of an attempt, while it runs and afterwards.

A running attempt is read from its spool in the home; one that ended from its object, or from its row when it is short. Positions
are the same in all three. Tests: tests/unit/pipelines/test_logs.py, tests/integration/test_cli_pipelines.py.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from everloop.core.errors import NotFoundError
from everloop.kernel.operations import Service, operation
from everloop.pipelines import queries, spools
from everloop.pipelines.records import LogPage

if TYPE_CHECKING:
    from everloop.pipelines.records import Attempt
    from everloop.pipelines.spools import LogText

_PAGE_BYTES = 1 << 20


class AttemptNotFoundError(NotFoundError):
    """A step of a run has no such attempt."""

    code = "pipelines.attempt-not-found"


class Logs(Service):
    """Logs of attempts."""

    @operation("GET /pipeline-runs/{run}/log", needs="pipeline.read", cli="pipeline logs")
    def log(
        self,
        run: str,
        node: str,
        *,
        attempt: int = 0,
        after: int = 0,
        limit: int = _PAGE_BYTES,
        search: str = "",
    ) -> LogPage:
        """Return lines of an attempt's log; call again with the page's `position` to follow it.

        Where the step runs on another machine that does not share this home, lines come when the attempt has ended.

        Args:
            run: id of the run.
            node: of the graph.
            attempt: its number; the latest by default.
            after: position of an earlier page.
            limit: bytes of the page at most, up to a MiB.
            search: only lines that hold this text; upper and lower case are the same.
        """
        found = self._find_attempt(run, node, attempt)
        text = spools.after(self._texts(found), after, max(1, min(limit, _PAGE_BYTES)))
        position = text.start + len(text.content)
        lines = text.content.decode(errors="replace")
        if search:
            wanted = search.casefold()
            kept = [line for line in lines.splitlines(keepends=True) if wanted in line.casefold()]
            lines = "".join(kept)
        return LogPage(
            node=node,
            attempt=found.number,
            text=lines,
            position=position,
            dropped_bytes=text.dropped,
            is_ended=found.status != "running" and not text.content,
            status=found.status,
        )

    def _find_attempt(self, run: str, node: str, number: int) -> Attempt:
        with self.kernel.catalog.read() as connection:
            attempts = queries.read_attempts(connection, run, node)
        found = [attempt for attempt in attempts if number in {0, attempt.number}]
        if not found:
            which = f"attempt {number}" if number else "attempt"
            raise AttemptNotFoundError(
                f"step {node} of run {run} has no {which}. `everloop pipeline steps {run}` lists its steps; one that was cached or"
                " skipped has none.",
                subject=f"run:{run}",
            )
        return found[-1]

    def _texts(self, attempt: Attempt) -> list[LogText]:
        folder = spools.spool_folder(self.kernel.home, attempt.run, attempt.node, attempt.number)
        texts = spools.read_spool(folder)
        if texts or not attempt.log_bytes:
            return texts
        if attempt.log_object is not None:
            return spools.unpack(self.kernel.objects.get(attempt.log_object))
        content = attempt.log.encode()
        return [spools.LogText(start=0, content=content)]
