"""Pure decisions of retention: what a rule keeps and why, what a quota says. Tests: tests/unit/data/retention/test_rules.py."""

from __future__ import annotations

from datetime import timedelta
from itertools import groupby
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from datetime import datetime

    from everloop.data.retention.records import Quota, RetentionRule, Version


def reasons_to_keep(
    versions: Iterable[Version], rule: RetentionRule, reached: Mapping[int, Sequence[str]], *, now: datetime
) -> dict[int, list[str]]:
    """Return for each version why it stays; one without a reason may go.

    Args:
        versions: those of one dataset that were not deleted.
        rule: what is kept by number and age.
        reached: who reaches a version, by its number.
        now: the time.
    """
    every = sorted(versions, key=lambda version: (version.branch, -version.number))
    found: dict[int, list[str]] = {}
    for branch, members in groupby(every, key=lambda version: version.branch):
        for place, version in enumerate(members):
            why = list(reached.get(version.number, ()))
            if rule.last is None and rule.days is None:
                why.append("no rule lets it go")
            if rule.last is not None and place < rule.last:
                why.append(f"among the last {rule.last} of {branch}")
            if rule.days is not None and now - version.created_at < timedelta(days=rule.days):
                why.append(f"younger than {rule.days} days")
            if rule.run_outputs and version.is_of_run:
                why.append("added by a run")
            found[version.number] = why
    return dict(sorted(found.items()))


def judge_quota(quota: Quota, *, used: int, added: int) -> Literal["fine", "warn", "refuse"]:
    """Return what a quota says to further bytes; it warns once, when its level is passed."""
    after = used + added
    if not added:
        return "fine"
    if quota.refuse_bytes is not None and after > quota.refuse_bytes:
        return "refuse"
    return "warn" if quota.warn_bytes is not None and used <= quota.warn_bytes < after else "fine"
