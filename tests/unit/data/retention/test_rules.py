"""What a rule keeps and why, and what a quota says."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from everloop.data.retention.records import Quota, RetentionRule, Version
from everloop.data.retention.rules import judge_quota, reasons_to_keep

NOW = datetime(2026, 5, 1, tzinfo=UTC)


def version(number: int, *, branch: str = "main", age_days: int = 100, is_of_run: bool = False) -> Version:
    created_at = NOW - timedelta(days=age_days)
    return Version(number=number, branch=branch, created_at=created_at, is_of_run=is_of_run)


def test_without_last_and_days_everything_stays() -> None:
    found = reasons_to_keep([version(1), version(2)], RetentionRule(), {}, now=NOW)
    assert found == {1: ["no rule lets it go"], 2: ["no rule lets it go"]}


def test_the_last_ones_are_counted_for_each_branch() -> None:
    versions = [version(1), version(2, branch="side"), version(3), version(4)]
    found = reasons_to_keep(versions, RetentionRule(last=2), {}, now=NOW)
    assert found == {1: [], 2: ["among the last 2 of side"], 3: ["among the last 2 of main"], 4: found[3]}


def test_a_version_is_young_until_its_days_are_full() -> None:
    versions = [version(1, age_days=7), version(2, age_days=6)]
    found = reasons_to_keep(versions, RetentionRule(days=7), {}, now=NOW)
    assert found == {1: [], 2: ["younger than 7 days"]}


def test_what_is_reached_or_made_by_a_run_stays_with_every_reason() -> None:
    versions = [version(1), version(2, is_of_run=True), version(3)]
    rule = RetentionRule(last=1)
    found = reasons_to_keep(versions, rule, {1: ["tag gold", "run:7"]}, now=NOW)
    assert found == {1: ["tag gold", "run:7"], 2: ["added by a run"], 3: ["among the last 1 of main"]}
    assert reasons_to_keep(versions, RetentionRule(last=1, run_outputs=False), {}, now=NOW)[2] == []


def test_a_quota_warns_once_and_refuses_what_passes_it() -> None:
    quota = Quota(warn_bytes=80, refuse_bytes=100)
    assert judge_quota(quota, used=70, added=10) == "fine"
    assert judge_quota(quota, used=70, added=11) == "warn"
    assert judge_quota(quota, used=81, added=5) == "fine"
    assert judge_quota(quota, used=81, added=19) == "fine"
    assert judge_quota(quota, used=81, added=20) == "refuse"
    assert judge_quota(quota, used=500, added=0) == "fine"
