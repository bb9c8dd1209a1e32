"""Seven kinds of checks count what fails, in one scan, and rows put aside keep their reasons."""

from __future__ import annotations

import pyarrow as pa
import pytest

from everloop.data import checks as check
from everloop.data import suites
from everloop.data.records import Check, Suite
from everloop.data.suites import MissingColumnError, put_aside, run_suite
from everloop.data.table import Table

ROWS = Table(
    arrow=pa.table(
        {
            "id": [1, 2, 2, None],
            "x": [1.0, float("nan"), 30.0, None],
            "s": ["EWR", "JFK", "n/a", None],
        }
    )
)


@pytest.mark.parametrize(
    ("rule", "failed"),
    [
        (check.not_null("id"), 1),
        (check.not_null("x"), 2),
        (check.between("x", 0, 10), 2),
        (check.between("x", None, 100), 1),
        (check.in_set("s", ["EWR", "JFK"]), 1),
        (check.matches("s", "[A-Z]{3}"), 1),
        (check.unique("id"), 1),
        (check.row_count(min=4, max=4), 0),
        (check.row_count(min=5), 1),
        (check.of_type("id", "bigint"), 0),
        (check.of_type("id", "text"), 1),
    ],
)
def test_a_check_counts_the_rows_that_fail(rule: Check, failed: int) -> None:
    result = run_suite(Suite("s", [rule]), ROWS).results[0]

    assert (result.failed_rows, result.is_passed) == (failed, failed == 0)


@pytest.mark.parametrize(
    ("severity", "verdict"), [("fail", "failed"), ("warn", "warned"), ("quarantine", "warned")]
)
def test_the_worst_severity_decides(severity: str, verdict: str) -> None:
    rule = Check(kind="not_null", column="id", severity=severity)  # type: ignore[arg-type]

    assert run_suite(Suite("s", [rule, check.not_null("s", severity="warn")]), ROWS).verdict == verdict


def test_rows_put_aside_keep_order_and_reasons() -> None:
    suite = Suite(
        "s", [check.unique("id", severity="quarantine"), check.between("x", 0, 10, severity="quarantine")]
    )

    good, bad = put_aside(suite, ROWS)

    assert good.to_arrow().column("id").to_pylist() == [1, None]
    assert bad.to_arrow().column("quarantine_reason").to_pylist() == [
        "between(x, 0, 10)",
        "unique(id); between(x, 0, 10)",
    ]
    assert good.columns == ROWS.columns


def test_an_append_is_unique_against_what_is_there() -> None:
    fresh = Table(arrow=pa.table({"id": [2, 9], "x": [1.0, 2.0], "s": ["EWR", "EWR"]}))
    suite = Suite("s", [check.unique("id", severity="quarantine"), check.row_count(min=6)])

    result = run_suite(suite, fresh, before=ROWS)
    good, _ = put_aside(suite, fresh, before=ROWS)

    assert [one.failed_rows for one in result.results] == [1, 0]
    assert good.to_arrow().column("id").to_pylist() == [9]


def test_a_missing_column_is_named_with_a_near_one() -> None:
    table = Table(arrow=pa.table({"distance": [1]}))

    with pytest.raises(MissingColumnError, match="Did you mean distance"):
        run_suite(Suite("s", [check.not_null("distanse")]), table)


def test_a_check_that_does_not_fit_its_column_is_refused() -> None:
    with pytest.raises(check.InvalidCheckError, match="does not fit"):
        run_suite(Suite("s", [check.between("id", "low", "high")]), ROWS)


def test_checks_that_can_never_run_are_refused_when_written() -> None:
    with pytest.raises(check.InvalidCheckError):
        check.matches("s", "(")
    with pytest.raises(check.InvalidCheckError):
        check.between("x", None, None)
    with pytest.raises(check.InvalidCheckError):
        check.row_count(min=1, severity="quarantine")


def test_a_name_with_quotes_is_only_a_name() -> None:
    table = Table(arrow=pa.table({'a"; DROP TABLE x; --': ["it's"]}))
    suite = Suite("s", [check.in_set('a"; DROP TABLE x; --', ["it's"])])

    assert run_suite(suite, table).verdict == "passed"


@pytest.mark.parametrize("present", [None, [1, 7]])
def test_repeats_are_counted_alike_in_memory_and_on_the_disk(
    monkeypatch: pytest.MonkeyPatch, present: list[int] | None
) -> None:
    rows = Table.of({"a": [1, 2, 2, None, None, 3]})
    before = None if present is None else Table.of({"a": present})
    suite = Suite("s", [check.unique("a")])
    in_memory = run_suite(suite, rows, before=before)
    monkeypatch.setattr(suites, "_DISTINCT_IN_MEMORY", 0)

    assert run_suite(suite, rows, before=before) == in_memory
    assert in_memory.results[0].failed_rows == (1 if present is None else 2)
