"""Decisions of pipelines without I/O: cache keys and what differs in them, pauses.

Tests: tests/unit/pipelines/test_rules.py, tests/property/test_cache_keys.py.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from everloop.core.digests import digest_value
from everloop.pipelines.records import CacheKey, Explanation

if TYPE_CHECKING:
    from collections.abc import Mapping

    from everloop.pipelines.closure import CodeClosure
    from everloop.pipelines.records import StepRun

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
