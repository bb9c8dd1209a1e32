"""Write foreign runs: parents and forked runs first, each value once. Tests: tests/unit/importers/test_bringing.py."""

from __future__ import annotations

import re
from hashlib import blake2b
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import numpy as np

from everloop.core.errors import EverloopError, NotFoundError, UnavailableError
from everloop.importers.records import Imported, Loss, Series
from everloop.tracking.delivery import SENT_INLINE
from everloop.tracking.keeping import in_objects
from everloop.tracking.naming import LONGEST_TEXT, is_name
from everloop.tracking.series.columns import Columns, PointColumns, pack_arrays

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from everloop.importers.records import ForeignRun, Source
    from everloop.tracking import Tracking
    from everloop.tracking.records import Plain, Run

Item = TypeVar("Item")
_BATCH_POINTS = 50_000
_BATCH_LINES = 5_000
_BATCH_MEDIA = 100
_PAGE = 10_000
_PLAIN_ID = re.compile(r"[0-9a-f]{32}\Z")


def bring(
    tracking: Tracking,
    source: Source,
    *,
    dry_run: bool = False,
    told: Callable[[str, Imported], None] | None = None,
) -> Imported:
    """Bring the runs of a source; what is here already is not written again, so a source that grew may be brought once more.

    Args:
        tracking: of the home, or of a server.
        source: see `open_source`.
        dry_run: read and count everything, write nothing.
        told: called with the name of each run that is done, and what was found so far.

    Raises:
        BadSourceError: the files cannot be read.
        UnavailableError: the home does not answer; runs that were brought before that stay, and calling again goes on.
    """
    report = Imported(kind=source.kind, place=source.place, is_dry=dry_run)
    runs = list(source.runs())
    known = {run.id: run for run in runs}
    for run in _ordered(runs, known, source):
        try:
            _bring_one(tracking, source, run, report, dry_run=dry_run)
        except UnavailableError:  # the home is away: nothing after this run would come either
            raise
        except EverloopError as error:
            source.losses.append(Loss(run=run.id, what="run", reason=str(error)))
        if told is not None:
            told(run.name or run.id, report)
    report.losses = list(source.losses)
    return report


def id_here(source: Source, run: str) -> str:
    """Return the id that a foreign run has here."""
    if _PLAIN_ID.match(run):
        return run
    return blake2b(f"{source.kind}:{run}".encode(), digest_size=16).hexdigest()


def _ordered(runs: list[ForeignRun], known: dict[str, ForeignRun], source: Source) -> Iterator[ForeignRun]:
    """Yield runs so that the ones they name come first; a name that leads nowhere is left out and reported."""
    done: set[str] = set()

    def visit(run: ForeignRun, above: frozenset[str]) -> Iterator[ForeignRun]:
        for what in ("parent", "fork_of"):
            name = getattr(run, what)
            if name and (name not in known or name in above):
                source.losses.append(
                    Loss(run=run.id, what=what, reason=f"the run {name} that it names is not among these")
                )
                setattr(run, what, "")
                if what == "fork_of":
                    run.fork_step = None
            elif name and name not in done:
                yield from visit(known[name], above | {name})
        if run.id not in done:
            done.add(run.id)
            yield run

    for run in runs:
        if run.id not in done:
            yield from visit(run, frozenset([run.id]))


def _bring_one(
    tracking: Tracking,
    source: Source,
    run: ForeignRun,
    report: Imported,
    *,
    dry_run: bool,
) -> None:
    here = id_here(source, run.id)
    params, tags = _fitting(run, source)
    tags |= {"import.from": source.kind, "import.id": run.id}
    before = _find(tracking, here)
    report.runs += 1
    report.params += len(params)
    report.tags += len(tags) - 2
    if before is None:
        report.new_runs += 1
        if not dry_run:
            tracking.create_run(
                id=here,
                experiment=run.experiment if is_name(run.experiment) else "default",
                name=run.name,
                params=params,
                tags=tags,
                parent=id_here(source, run.parent) if run.parent else "",
                fork_of=id_here(source, run.fork_of) if run.fork_of else "",
                fork_step=run.fork_step,
                started_at=run.started_at,
                note=run.note[:LONGEST_TEXT],
            )
    elif before.deleted_at is not None:
        source.losses.append(
            Loss(run=run.id, what="run", reason="it lies in the trash here; restore it first")
        )
        return
    elif not dry_run and (_differ(params, before.params) or _differ(tags, before.tags)):
        tracking.log_batch(here, params=params, tags=tags)
    _bring_series(tracking, here, run, before, report, dry_run=dry_run)
    _bring_rest(tracking, here, run, before, report, source, dry_run=dry_run)
    if dry_run:
        return
    if run.status != "running" and (before is None or before.status != run.status):
        tracking.finish_run(here, status=run.status, error=run.error, ended_at=run.ended_at)
    if run.is_deleted:
        tracking.delete_run(here)


def _bring_series(
    tracking: Tracking, here: str, run: ForeignRun, before: Run | None, report: Imported, *, dry_run: bool
) -> None:
    counts = {metric.name: metric.count for metric in before.metrics} if before is not None else {}
    waiting: list[PointColumns] = []
    size = 0
    for series in run.series():
        report.points += len(series.steps)
        new = _without(series, tracking, here) if series.name in counts else series
        report.new_points += len(new.steps)
        for start in range(0, len(new.steps), _BATCH_POINTS):
            part = slice(start, start + _BATCH_POINTS)
            columns = Columns(new.steps[part], new.times[part], new.values[part])
            waiting.append(pack_arrays(new.name, columns))
            size += len(columns.steps)
            if size >= _BATCH_POINTS:
                if not dry_run:
                    tracking.log_batch(here, series=waiting)
                waiting, size = [], 0
    if waiting and not dry_run:
        tracking.log_batch(here, series=waiting)


def _bring_rest(
    tracking: Tracking,
    here: str,
    run: ForeignRun,
    before: Run | None,
    report: Imported,
    source: Source,
    *,
    dry_run: bool,
) -> None:
    kept = _media_here(tracking, here) if before is not None else set()
    for group in _groups(run.media(), _BATCH_MEDIA):
        report.media += len(group)
        new = [one for one in group if (one.name, one.step, one.index) not in kept]
        if new and not dry_run:
            tracking.log_batch(here, media=in_objects(tracking.kernel.objects, new, above=SENT_INLINE))
    printed = tracking.output(here, limit=1, tail=True) if before is not None else []
    left_out = printed[-1].number + 1 if printed else 0
    for printed_lines in _groups(run.lines(), _BATCH_LINES):
        new_lines, left_out = printed_lines[left_out:], max(left_out - len(printed_lines), 0)
        report.lines += len(printed_lines)
        if new_lines and not dry_run:
            tracking.log_batch(here, lines=new_lines)
    artifacts = {one.name: one.digest for one in tracking.artifacts(here)} if before is not None else {}
    for name, content in run.artifacts():
        size = content.stat().st_size if isinstance(content, Path) else len(content)
        report.artifacts += 1
        report.artifact_bytes += size
        if not is_name(name):
            source.losses.append(
                Loss(run=run.id, what=f"artifact {name[:60]!r}", reason="its name cannot be kept")
            )
        elif not dry_run:
            digest = tracking.kernel.objects.put(content)
            if artifacts.get(name) != digest:
                tracking.record_artifact(here, name=name, digest=digest, size_bytes=size)


def _fitting(run: ForeignRun, source: Source) -> tuple[dict[str, Plain], dict[str, str]]:
    """Return params and tags that can be kept; the others are reported."""
    reasons = {
        f"{what} {name[:60]!r}": reason
        for what, values in (("param", run.params), ("tag", run.tags))
        for name, value in values.items()
        if (reason := _reason(name, value))
    }
    source.losses += [Loss(run=run.id, what=what, reason=reason) for what, reason in reasons.items()]
    params = {name: value for name, value in run.params.items() if not _reason(name, value)}
    tags = {name: value for name, value in run.tags.items() if not _reason(name, value)}
    return params, tags


def _reason(name: str, value: Plain) -> str:
    """Return why a param or tag cannot be kept; empty when it can."""
    if not is_name(name):
        return "its name cannot be kept"
    if isinstance(value, str) and len(value) > LONGEST_TEXT:
        return f"it has {len(value):,} characters, and {LONGEST_TEXT:,} are kept"
    return ""


def _differ(new: dict[str, Plain] | dict[str, str], old: dict[str, Plain] | dict[str, str]) -> bool:
    return any(name not in old or old[name] != value for name, value in new.items())


def _find(tracking: Tracking, run: str) -> Run | None:
    try:
        return tracking.get_run(run)
    except NotFoundError:
        return None


def _without(series: Series, tracking: Tracking, here: str) -> Series:
    """Return the points of a series that are not here, by all their bits."""
    kept = tracking.series(here, series.name)
    rows, old = _rows(series.steps, series.times, series.values), _rows(*kept)
    new = ~np.isin(rows, old)
    return Series(series.name, series.steps[new], series.times[new], series.values[new])


def _rows(steps: object, times: object, values: object) -> np.ndarray[tuple[int], np.dtype[np.void]]:
    columns = [np.ascontiguousarray(column).view(np.int64) for column in (steps, times, values)]
    return np.ascontiguousarray(np.stack(columns, axis=1)).view("V24").reshape(-1)


def _media_here(tracking: Tracking, run: str) -> set[tuple[str, float, int]]:
    found: set[tuple[str, float, int]] = set()
    names: set[str] = set()
    # Pages are by step within a name, so names are asked for one by one once they are known.
    first = tracking.media(run, limit=_PAGE)
    names.update(one.name for one in first)
    found.update((one.name, one.step, one.index) for one in first)
    if len(first) < _PAGE:
        return found
    for name in sorted(names):
        after: float | None = None
        while page := tracking.media(run, name=name, after=after, limit=_PAGE):
            found.update((one.name, one.step, one.index) for one in page)
            after = page[-1].step
    return found


def _groups(items: Iterable[Item], size: int) -> Iterator[list[Item]]:
    group: list[Item] = []
    for item in items:
        group.append(item)
        if len(group) == size:
            yield group
            group = []
    if group:
        yield group
