"""Decisions of pipelines without I/O: cache keys and what differs in them, pauses.

Tests: tests/unit/pipelines/test_rules.py, tests/property/test_cache_keys.py.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from everloop.core.digests import digest_value
from everloop.pipelines.records import CacheKey, Explanation
from everloop.pipelines.trigger_records import Cause

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime

    from everloop.pipelines.closure import CodeClosure
    from everloop.pipelines.records import StepRun
    from everloop.pipelines.trigger_records import Trigger

_LONGEST_PAUSE_S = 60.0


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


class ChosenCauses(msgspec.Struct, frozen=True, kw_only=True):
    """Causes whose runs start now, and causes of which no run comes, each with the reason; all others wait."""

    start: list[Cause]
    skip: list[tuple[Cause, str]]


def choose_causes(plan: Trigger, waiting: Sequence[Cause], *, active: int, now: datetime) -> ChosenCauses:
    """Return which causes may start their runs under a trigger's limits.

    Args:
        plan: the trigger.
        waiting: causes without a run, oldest first.
        active: runs of the trigger that have not ended.
        now: the time.
    """
    keep = list(waiting)
    skip: list[tuple[Cause, str]] = []
    if plan.debounce_s and keep:
        if (now - keep[-1].seen_at).total_seconds() < plan.debounce_s:
            return ChosenCauses(start=[], skip=[])
        skip += [(cause, f"a newer cause came within {plan.debounce_s:g} s") for cause in keep[:-1]]
        keep = keep[-1:]
    if not plan.max_active:
        return ChosenCauses(start=keep, skip=skip)
    free = max(plan.max_active - active, 0)
    if plan.when_busy == "latest" and len(keep) > max(free, 1):
        kept = max(free, 1)
        skip += [(cause, "a newer cause came while its runs were busy") for cause in keep[:-kept]]
        keep = keep[-kept:]
    if plan.when_busy == "skip":
        skip += [(cause, f"{plan.max_active} runs were active") for cause in keep[free:]]
    return ChosenCauses(start=keep[:free], skip=skip)


def has_values(payload: Mapping[str, object], where: Mapping[str, object]) -> bool:
    """Say whether fields of a payload have these values; `a.b` is field `b` of field `a`."""
    return all(_inside(payload, name) == value for name, value in where.items())


def _inside(payload: object, name: str) -> object:
    for part in name.split("."):
        payload = payload.get(part) if isinstance(payload, dict) else None
    return payload
