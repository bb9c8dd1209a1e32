"""One pass over the triggers: what happened since the last one, and which runs may start for it.

A cause is a row with the unique key (trigger, cause), so that any number of schedulers take it down once; a run is inserted in
the transaction that marks its cause started, under a lock of the trigger. Tests: tests/unit/pipelines/test_triggers.py,
tests/chaos/test_trigger_passes.py.
"""

from __future__ import annotations

import fnmatch
import glob
import logging
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING

from everloop.core.errors import EverloopError, PermissionDeniedError
from everloop.core.ids import new_id
from everloop.pipelines import queries, rules, trigger_queries
from everloop.pipelines.trigger_records import Cause

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from datetime import datetime

    import sqlalchemy as sa

    from everloop.kernel.events.log import Event
    from everloop.kernel.operations import Kernel
    from everloop.pipelines.trigger_records import Trigger

_log = logging.getLogger(__name__)
_EVENTS = 1000
# What moves a branch, and the fields that name it.
_MOVES = ("dataset.versioned", "dataset.published")


def advance(kernel: Kernel, now: datetime) -> list[str]:
    """Take down new causes of every trigger and start the runs that may start; return the runs' ids."""
    with kernel.catalog.read() as connection:
        plans = [plan for plan in trigger_queries.read_triggers(connection) if not plan.is_paused]
    started: list[str] = []
    for plan in plans:
        try:
            observe(kernel, plan, now)
            started += start(kernel, plan, now)
        except EverloopError as error:
            # A bucket that is away must not stop the other triggers; the next pass looks again.
            _log.warning("trigger %s: %s", plan.name, error, extra={"code": error.code})
    return started


def observe(kernel: Kernel, plan: Trigger, now: datetime) -> None:
    """Take down what happened since the last pass."""
    if plan.on == "file":
        _observe_files(kernel, plan, now)
    elif plan.on != "webhook":
        _observe_events(kernel, plan, now)


def start(kernel: Kernel, plan: Trigger, now: datetime) -> list[str]:
    """Start the runs that the trigger's limits allow; return their ids."""
    with kernel.catalog.read() as connection:
        if not trigger_queries.read_waiting(connection, plan.name):
            return []
    with kernel.catalog.transaction() as connection:
        if not trigger_queries.lock_trigger(connection, plan.name):
            return []
        waiting = trigger_queries.read_waiting(connection, plan.name)
        active = trigger_queries.count_active(connection, plan.name)
        chosen = rules.choose_causes(plan, waiting, active=active, now=now)
        for cause, reason in chosen.skip:
            trigger_queries.set_cause(connection, cause, "skipped", reason=reason)
        return [_start(connection, kernel, plan, cause, now) for cause in chosen.start]


def _start(connection: sa.Connection, kernel: Kernel, plan: Trigger, cause: Cause, now: datetime) -> str:
    version, origin = queries.require_pipeline(connection, plan.pipeline)
    run_id = new_id()
    queries.insert_run(
        connection,
        run_id=run_id,
        name=plan.pipeline,
        now=now,
        options=plan.options,
        requested={**plan.inputs, **cause.given},
        bundle=version.bundle,
        entry=version.entry,
        origin=origin,
    )
    trigger_queries.set_cause(connection, cause, "started", run=run_id)
    payload = {"trigger": plan.name, "cause": cause.cause, "pipeline": plan.pipeline}
    kernel.events.append(connection, kind="pipeline.run_queued", subject=f"run:{run_id}", payload=payload)
    return run_id


# -- events ------------------------------------------------------------------------------------------------------------


def _observe_events(kernel: Kernel, plan: Trigger, now: datetime) -> None:
    kinds = {"alert": ("alert.fired",), "dataset": _MOVES}.get(plan.on, (plan.what,))
    events = kernel.events.read(after=plan.position, limit=_EVENTS, kinds=kinds)
    if not events:
        return
    causes = [_of_event(plan, event, now) for event in events if matches(plan, event)]
    with kernel.catalog.transaction() as connection:
        if trigger_queries.lock_trigger(connection, plan.name):
            trigger_queries.insert_causes(connection, causes)
            trigger_queries.move_position(connection, plan.name, events[-1].position)


def matches(plan: Trigger, event: Event) -> bool:
    """Say whether an event is a cause of a trigger."""
    if plan.on == "dataset":
        dataset, _, branch = plan.what.partition("@")
        if not event.subject.startswith(f"dataset:{dataset}@"):
            return False
        moved = "main" if event.kind == "dataset.published" else event.payload.get("branch")
        return branch in ("", moved)
    if plan.on == "alert":
        if not fnmatch.fnmatchcase(str(event.payload.get("rule", "")), plan.what or "*"):
            return False
        subject = str(event.payload.get("subject", ""))
    else:
        subject = event.subject
    return fnmatch.fnmatchcase(subject, plan.subject) and rules.has_values(event.payload, plan.where)


def _of_event(plan: Trigger, event: Event, now: datetime) -> Cause:
    told = str(event.payload.get("subject", "")) if plan.on == "alert" else event.subject
    return _cause(plan, event.id, told.removeprefix("dataset:"), now)


def _cause(plan: Trigger, key: str, value: str, now: datetime) -> Cause:
    given = {plan.cause_input: value} if plan.cause_input else {}
    return Cause(trigger=plan.name, cause=key, given=given, seen_at=now)


# -- files -------------------------------------------------------------------------------------------------------------


def _observe_files(kernel: Kernel, plan: Trigger, now: datetime) -> None:
    found = list_files(plan.what, kernel.settings.watch)
    with kernel.catalog.read() as connection:
        known = trigger_queries.known_causes(connection, plan.name)
        before = trigger_queries.observed(connection, plan.name)
    fresh = {path: size for path, size in found.items() if path not in known}
    seen = {
        path: before[path] if path in before and before[path][0] == size else (size, now)
        for path, size in fresh.items()
    }
    wait = timedelta(seconds=plan.stable_s)
    stable = [path for path, (_, since) in sorted(seen.items()) if now - since >= wait]
    changed = {
        path: state for path, state in seen.items() if path not in stable and before.get(path) != state
    }
    gone = [path for path in before if path in stable or path not in fresh]
    if not (stable or changed or gone):
        return
    with kernel.catalog.transaction() as connection:
        if trigger_queries.lock_trigger(connection, plan.name):
            trigger_queries.insert_causes(connection, [_cause(plan, path, path, now) for path in stable])
            trigger_queries.set_observed(connection, plan.name, changed, gone)


def pass_over_files(connection: sa.Connection, plan: Trigger, paths: Iterable[str], now: datetime) -> None:
    """Take down files that were there before as causes of no run."""
    causes = [
        Cause(trigger=plan.name, cause=path, status="skipped", reason="it was there before", seen_at=now)
        for path in paths
    ]
    trigger_queries.insert_causes(connection, causes)


class NotWatchedError(PermissionDeniedError):
    """A trigger on files names a place that the server's settings do not open to triggers."""

    code = "pipelines.not-watched"


def list_files(pattern: str, places: Sequence[str]) -> dict[str, int]:
    """Return the files that a path or URL with a pattern names, with their sizes in bytes.

    Args:
        pattern: as the trigger states it.
        places: folders and URL prefixes that may be watched, from the settings.

    Raises:
        NotWatchedError: the pattern reaches out of them.
    """
    if "://" in pattern and not pattern.startswith("file://"):
        if ".." in pattern or not any(pattern.startswith(place.rstrip("/") + "/") for place in places):
            raise _not_watched(pattern)
        return _list_url(pattern)
    text = pattern.removeprefix("file://")
    roots = [Path(place).expanduser().resolve() for place in places if "://" not in place]
    if ".." in Path(text).parts or not _is_inside(_fixed_part(text), roots):
        raise _not_watched(pattern)
    found = {}
    for path in glob.iglob(text, recursive=True):  # noqa: PTH207 - a pattern from the root, as people write it
        try:
            # A link inside may point outside.
            if Path(path).is_file() and _is_inside(Path(path), roots):
                found[path] = Path(path).stat().st_size
        except FileNotFoundError:  # it went away between the list and the look
            continue
    return found


def _fixed_part(pattern: str) -> Path:
    """Return the folder in which a pattern begins."""
    fixed = Path(pattern).parent
    while glob.has_magic(str(fixed)):
        fixed = fixed.parent
    return fixed


def _is_inside(path: Path, roots: Sequence[Path]) -> bool:
    place = path.resolve()
    return any(place.is_relative_to(root) for root in roots)


def _not_watched(pattern: str) -> NotWatchedError:
    return NotWatchedError(
        f"triggers may not watch {pattern}. Name its folder or URL prefix in the setting `watch` of the server (EVERLOOP_WATCH).",
        subject=pattern,
    )


def _list_url(pattern: str) -> dict[str, int]:
    from everloop.data.connectors.errors import EmptySourceError
    from everloop.data.connectors.listing import remote_members
    from everloop.data.connectors.remote import open_place

    place, key, root = open_place(pattern)
    try:
        members = remote_members(place, key, root)
    except EmptySourceError:
        return {}
    return {file.name: file.size_bytes for file in (member.open() for member in members)}
