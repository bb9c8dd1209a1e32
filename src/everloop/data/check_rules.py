"""Pure decisions of checks: what a measured check amounts to. Tests: tests/unit/data/test_checks.py."""

from __future__ import annotations

import math
from datetime import timedelta
from typing import TYPE_CHECKING, NamedTuple

from everloop.core.durations import format_duration
from everloop.data.check_kinds import KINDS
from everloop.data.records import CheckResult
from everloop.data.rules import has_type

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from everloop.data.records import Check

# DuckDB's sketch of different values errs by 3 % (one standard deviation, measured); five of them raise no false alarm.
SKETCH_ERROR = 0.15


class Facts(NamedTuple):
    """What is known of the rows without looking at them.

    Attributes:
        types: of the columns, in order.
        rows: rows looked at; total: with those that were there before.
        now: when the check runs.
    """

    types: dict[str, str]
    rows: int
    total: int
    now: datetime


def conclude(check: Check, measured: Sequence[float | None], facts: Facts) -> CheckResult:
    """Return what a check found.

    Args:
        check: as it was written.
        measured: what `check_sql.question` asked for, in its order; of `sql` and `python` how much is wrong.
        facts: of the rows.
    """
    if KINDS[check.kind].is_of_rows:
        return _of_rows(check, [int(value or 0) for value in measured], facts)
    figure, reason = _of_table(check, measured, facts)
    wrong = max(1, int(figure or 0)) if check.kind in ("sql", "python") else 1
    return CheckResult(
        check=check,
        is_passed=not reason,
        failed_rows=wrong if reason else 0,
        rows=facts.rows,
        reason=reason,
        figure=figure,
    )


def _of_rows(check: Check, measured: Sequence[int], facts: Facts) -> CheckResult:
    failed = measured[0]
    looked = measured[1] if len(measured) > 1 else facts.rows
    allowed = (1 - check.share) * looked
    if check.is_approximate:
        failed, looked = max(0, measured[0] - measured[1]), measured[0]
        allowed = max(SKETCH_ERROR, 1 - check.share) * looked
    # A share such as 0.9 is not quite 9/10 of a whole number.
    is_passed = failed <= allowed + 1e-9 * looked
    about = "about " if check.is_approximate else ""
    return CheckResult(
        check=check,
        is_passed=is_passed,
        failed_rows=0 if is_passed and check.is_approximate else failed,
        rows=facts.rows,
        reason="" if is_passed else f"{about}{failed:,} of {looked:,} rows",
        figure=None if check.share == 1 else 1 - failed / looked if looked else 1.0,
    )


def _of_table(check: Check, measured: Sequence[float | None], facts: Facts) -> tuple[float | None, str]:
    """Return the figure and why it is wrong, empty when it is not."""
    if check.kind in ("of_type", "has_columns"):
        return None, _shape(check, facts)
    if check.kind == "row_count":
        is_in = _is_within(facts.total, check)
        return float(facts.total), "" if is_in else f"there are {facts.total:,} rows"
    figure = measured[0]
    if check.kind in ("sql", "python"):
        return figure, "" if not figure else f"{figure:,.6g} found"
    if figure is None:
        return None, "there are no values"
    if check.kind == "fresh":
        return _age(check, figure, facts.now)
    return figure, "" if _is_within(figure, check) else f"the {check.kind.replace('_', ' ')} is {figure:,.6g}"


def _age(check: Check, newest: float, now: datetime) -> tuple[float, str]:
    age = now.timestamp() - newest
    if age <= (check.within_s or 0):
        return age, ""
    return age, f"the newest is {format_duration(timedelta(seconds=round(age)))} old"


def _shape(check: Check, facts: Facts) -> str:
    if check.kind == "of_type":
        actual = facts.types[check.column]
        return "" if has_type(actual, check.type) else f"the type is {actual}"
    missing = [name for name in check.columns if name not in facts.types]
    others = [name for name in facts.types if name not in check.columns] if check.is_exact else []
    faults = [f"missing: {', '.join(missing)}"] * bool(missing)
    return "; ".join([*faults, *[f"unknown: {', '.join(others)}"] * bool(others)])


def _is_within(figure: float, check: Check) -> bool:
    low = -math.inf if check.low is None else float(str(check.low))
    high = math.inf if check.high is None else float(str(check.high))
    return low <= figure <= high
