"""Decisions of pipelines without I/O: cache keys and what differs in them, pauses, ticks that are due, states of steps.

Tests: tests/unit/pipelines/test_rules.py, tests/property/test_cache_keys.py.
"""

from __future__ import annotations

from collections import deque
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import msgspec
from cronsim import CronSim, CronSimError

from everloop.core.digests import digest_value
from everloop.core.errors import InvalidInputError
from everloop.pipelines.records import CacheKey, CatchUp, Explanation

if TYPE_CHECKING:
    from collections.abc import Mapping

    from everloop.pipelines.closure import CodeClosure
    from everloop.pipelines.records import StepRun

_LONGEST_PAUSE_S = 60.0
# More missed ticks than this are not made up, whatever the policy: a schedule of every minute that slept for a month.
_MOST_TICKS = 1000


class InvalidScheduleError(InvalidInputError):
    """A cron expression or a time zone is not one."""

    code = "pipelines.invalid-schedule"


class KeyDifference(msgspec.Struct, frozen=True, kw_only=True):
    """Parts of a cache key that differ from another one's, by readable name."""

    changed: list[str]
    added: list[str]
    removed: list[str]

    @property
    def is_empty(self) -> bool:
        """Say whether the keys are made of the same parts."""
        return not (self.changed or self.added or self.removed)


def make_key(closure: CodeClosure, inputs: Mapping[str, str], environment: Mapping[str, str]) -> CacheKey:
    """Return the cache key of one call of a step.

    Args:
        closure: of the step's function.
        inputs: content digest by parameter name.
        environment: value by name, of the variables the step declares with `on`.
    """
    parts = dict(closure.parts)
    parts.update({f"input {name}": digest for name, digest in inputs.items()})
    parts.update({f"variable {name}": digest_value(value) for name, value in environment.items()})
    return CacheKey(digest=digest_value(dict(sorted(parts.items()))), parts=parts, opaque=closure.opaque)


def compare_keys(now: CacheKey, before: CacheKey) -> KeyDifference:
    """Return which parts differ."""
    shared = now.parts.keys() & before.parts.keys()
    return KeyDifference(
        changed=sorted(name for name in shared if now.parts[name] != before.parts[name]),
        added=sorted(now.parts.keys() - before.parts.keys()),
        removed=sorted(before.parts.keys() - now.parts.keys()),
    )


def say_difference(node: str, difference: KeyDifference | None) -> str:
    """Return one sentence on why a step's key is new."""
    if difference is None:
        return f"{node} has no earlier run to compare with."
    if difference.is_empty:
        return f"{node} has the key of the run before."
    parts = [f"{name} changed" for name in difference.changed]
    parts += [f"{name} is new" for name in difference.added]
    parts += [f"{name} is gone" for name in difference.removed]
    return f"{node} ran because {', '.join(parts)}."


def explain(step: StepRun, nearest: tuple[CacheKey, str] | None) -> Explanation:
    """Return why a step ran or was taken from the cache.

    Args:
        step: as it ended.
        nearest: key and run of the nearest earlier step to compare with.
    """
    difference = compare_keys(step.key, nearest[0]) if step.key is not None and nearest is not None else None
    sentence = (
        f"{step.node} was taken from the cache: {step.reason}."
        if step.status == "cached"
        else say_difference(step.node, difference)
    )
    return Explanation(
        node=step.node,
        status=step.status,
        compared_with=nearest[1] if nearest else "",
        changed=difference.changed if difference else [],
        added=difference.added if difference else [],
        removed=difference.removed if difference else [],
        opaque=step.key.opaque if step.key else [],
        sentence=sentence,
    )


def pause_s(failures: int, first_s: float) -> float:
    """Return how long to wait after that many failed attempts: doubling, at most a minute."""
    return min(first_s * 2.0 ** max(failures - 1, 0), _LONGEST_PAUSE_S)


def check_schedule(cron: str, timezone: str) -> None:
    """Refuse an expression or a zone that cannot be read.

    Raises:
        InvalidScheduleError: with the reason.
    """
    try:
        next(CronSim(cron, datetime(2020, 1, 1, tzinfo=ZoneInfo(timezone))))
    except (CronSimError, StopIteration) as error:
        raise InvalidScheduleError(
            f"{cron!r} is no cron expression: {error}. Write five fields, for example `0 6 * * 1`."
        ) from error
    except (ZoneInfoNotFoundError, ValueError) as error:
        raise InvalidScheduleError(
            f"{timezone!r} is no time zone. Use an IANA name such as Europe/Zurich."
        ) from error


def due_ticks(
    *, cron: str, timezone: str, seen_until: datetime, now: datetime, catch_up: CatchUp
) -> list[datetime]:
    """Return the nominal times after `seen_until` up to `now` for which a run is owed, oldest first, in UTC.

    `latest` owes one run for any number of missed ticks, `all` owes each of them, `none` owes a tick only within
    the minute after it.
    """
    kept: deque[datetime] = deque(maxlen=_MOST_TICKS)
    moments = CronSim(cron, seen_until.astimezone(ZoneInfo(timezone)))
    for moment in moments:
        tick = moment.astimezone(UTC)
        if tick > now:
            break
        kept.append(tick)
    ticks = list(kept)
    if catch_up == "all":
        return ticks
    if catch_up == "none":
        return [tick for tick in ticks[-1:] if now - tick <= timedelta(minutes=1)]
    return ticks[-1:]
