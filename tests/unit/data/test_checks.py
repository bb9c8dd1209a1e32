"""Every kind of check counts or measures what its name says, and one that cannot run is named before anything runs."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pytest

from everloop.data import check_functions, engine, suites
from everloop.data import checks as check
from everloop.data.check_kinds import KINDS
from everloop.data.check_records import CheckKind
from everloop.data.records import Check, Suite
from everloop.data.suites import MissingColumnError, pin_references, put_aside, run_suite
from everloop.data.table import Table

if TYPE_CHECKING:
    from pathlib import Path

    from everloop.data.records import CheckResult
    from everloop.data.service import Data

NAN = float("nan")
DAY = datetime(2024, 3, 1, tzinfo=UTC)
ROWS = Table(
    arrow=pa.table(
        {
            "id": [1, 2, 2, None, 5],
            "x": [1.0, NAN, 3.0, None, 8.0],
            "s": ["EWR", "JFK", "n/a", None, ""],
            "low": [1, 5, 3, None, 2],
            "high": [2, 4, 3, 9, 7],
            "at": [DAY, None, DAY - timedelta(days=3), DAY - timedelta(days=1), DAY],
        }
    )
)
AIRPORTS = Table(arrow=pa.table({"faa": ["EWR", "JFK", None, "JFK"]}), name="airports@v3")


def ask(rule: Check, rows: Table = ROWS, **given: Any) -> CheckResult:
    return run_suite(Suite("s", [rule]), rows, now=DAY + timedelta(hours=6), **given).results[0]


def test_every_kind_is_described_once() -> None:
    assert set(KINDS) == set(CheckKind.__args__)  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("rule", "failed"),
    [
        (check.not_in_set("s", ["n/a", ""]), 2),
        (check.length("s", 1, 3), 1),
        (check.length("s", None, 2), 3),
        (check.expression("high >= low"), 1),
        (check.unique("id", "s"), 0),
        (check.unique("high", "low"), 0),
        (check.references("s", table="airports", key="faa"), 2),
        (check.has_columns("id", "x"), 0),
        (check.has_columns("id", "nothing"), 1),
        (check.has_columns("id", "x", only=True), 1),
        (check.sql("SELECT count(*) FROM rows WHERE high < low"), 1),
        (check.sql("SELECT count(*) FROM rows WHERE high < 0;"), 0),
    ],
)
def test_what_fails_is_counted(rule: Check, failed: int) -> None:
    result = ask(rule, tables={"airports": AIRPORTS})

    assert (result.failed_rows, result.is_passed) == (failed, failed == 0)


@pytest.mark.parametrize(
    ("rule", "figure", "is_passed"),
    [
        (check.mean("x", 3.9, 4.1), 4.0, True),  # of 1, 3 and 8: neither missing nor NaN counts
        (check.mean("x", high=3.9), 4.0, False),
        (check.std("x", 3.6, 3.61), 13**0.5, True),
        (check.quantile("x", 0.5, 3, 3), 3.0, True),
        (check.quantile("x", 0.75, high=5), 5.5, False),
        (check.null_share("x", 0.4), 0.4, True),
        (check.null_share("x", 0.39), 0.4, False),
        (check.distinct("id", min=3, max=3), 3.0, True),
        (check.distinct("id", min=4), 3.0, False),
        (check.row_count(max=4), 5.0, False),
        (check.fresh("at", "7h"), 6 * 3600.0, True),
        (check.fresh("at", timedelta(hours=5)), 6 * 3600.0, False),
    ],
)
def test_a_figure_is_measured_and_judged(rule: Check, figure: float, *, is_passed: bool) -> None:
    result = ask(rule)

    assert result.figure == pytest.approx(figure)
    assert result.is_passed is is_passed


@pytest.mark.parametrize("rule", [check.mean("x", 0), check.quantile("x", 0.5, 0), check.fresh("at", "1d")])
def test_a_column_without_values_fails_a_figure(rule: Check) -> None:
    empty = Table(arrow=ROWS.to_arrow().slice(0, 0))

    assert ask(rule, empty).reason == "there are no values"


@pytest.mark.parametrize(
    ("rule", "is_passed"),
    [
        (check.not_null("x", share=0.6), True),  # 3 of 5 rows
        (check.not_null("x", share=0.61), False),
        (check.between("x", 0, 5, share=0.5), True),  # of four values 1 and 3 pass, NaN and 8 do not
        (check.between("x", 0, 5, share=0.51), False),
        (check.expression("high >= low", share=0.75), True),  # the row with a missing value is not looked at
        (check.expression("high >= low", share=0.76), False),
        (check.unique("id", share=0.75), True),
        (check.unique("id", share=0.8), False),
    ],
)
def test_a_share_is_of_the_rows_looked_at(rule: Check, *, is_passed: bool) -> None:
    assert ask(rule).is_passed is is_passed


def test_a_repeat_of_several_columns_counts_whole_rows_only() -> None:
    rows = Table.of({"a": [1, 1, 1, None, None], "b": ["x", "x", "y", "x", "x"]})

    assert ask(check.unique("a", "b"), rows).failed_rows == 1
    good, bad = put_aside(Suite("s", [check.unique("a", "b", severity="quarantine")]), rows)
    assert (good.num_rows, bad.to_arrow().to_pylist()) == (
        4,
        [{"a": 1, "b": "x", "quarantine_reason": "unique(a, b)"}],
    )


@pytest.mark.parametrize("before", [None, Table.of({"a": [1], "b": ["y"]})])
def test_repeats_of_several_columns_are_counted_alike_on_the_disk(
    monkeypatch: pytest.MonkeyPatch, before: Table | None
) -> None:
    rows = Table.of({"a": [1, 1, 1, None], "b": ["x", "x", "y", "x"]})
    rule = check.unique("a", "b", share=0.9)
    in_memory = ask(rule, rows, before=before)
    monkeypatch.setattr(suites, "_DISTINCT_IN_MEMORY", 0)

    assert ask(rule, rows, before=before) == in_memory
    assert in_memory.failed_rows == (1 if before is None else 2)


def test_a_sketch_finds_many_repeats_and_raises_no_false_alarm() -> None:
    all_different = Table.of({"a": list(range(20_000))})
    twice = Table.of({"a": [*range(10_000), *range(10_000)]})
    rule = check.unique("a", approximate=True)

    assert ask(rule, all_different).is_passed
    assert not ask(rule, twice).is_passed
    assert ask(check.distinct("a", min=8_500, max=11_500, approximate=True), twice).is_passed


def test_rows_are_put_aside_by_conditions_lengths_sets_and_references() -> None:
    rules = [
        check.expression("high >= low", name="in order", severity="quarantine"),
        check.length("s", 1, 5, severity="quarantine"),
        check.not_in_set("s", ["n/a"], severity="quarantine"),
        check.references("s", table="airports", key="faa", severity="quarantine"),
    ]
    suite, tables = pin_references(Suite("s", rules), lambda name: {"airports": AIRPORTS}[name])

    good, bad = put_aside(suite, ROWS, tables=tables)

    assert good.to_arrow().column("id").to_pylist() == [1, None]
    assert bad.to_arrow().column("quarantine_reason").to_pylist() == [
        "expression(in order)",
        "not_in_set(s, ['n/a']); references(s, airports@v3, faa)",
        "length(s, 1, 5); references(s, airports@v3, faa)",
    ]


def test_a_function_says_true_or_how_much_is_wrong() -> None:
    def is_small(table: Table) -> bool:
        return table.num_rows < 3

    def missing(table: Table) -> int:
        return int(table.to_arrow().column("id").null_count)

    assert ask(check.python(is_small)).reason == "1 found"
    assert ask(check.python(missing)).failed_rows == 1
    assert ask(check.python(lambda table: table.num_rows == 5)).is_passed
    with pytest.raises(check.InvalidCheckError, match="returned str"):
        ask(check.python(lambda table: table.name))  # type: ignore[arg-type,return-value]


def test_a_function_that_was_only_named_is_never_imported() -> None:
    with pytest.raises(check.InvalidCheckError, match="was not given the function"):
        ask(Check(kind="python", function="shutil:rmtree"))


def test_two_functions_of_one_name_stay_two() -> None:
    def saying(*, answer: bool) -> Check:
        return check.python(lambda _: answer)

    yes, no = saying(answer=True), saying(answer=False)

    assert (ask(yes).is_passed, ask(no).is_passed) == (True, False)
    assert not check_functions.is_importable(yes.function)
    assert check_functions.is_importable(check.python(check_functions.is_importable).function)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "make",
    [
        lambda: check.matches("s", "("),
        lambda: check.between("x", None, None),
        lambda: check.between("x", 3, 2),
        lambda: check.row_count(min=1, severity="quarantine"),
        lambda: check.in_set("s", []),
        check.unique,
        lambda: check.unique("a", approximate=True, severity="quarantine"),
        lambda: check.quantile("x", 1.5, 0),
        lambda: check.mean("x", NAN),
        lambda: check.not_null("x", share=0),
        lambda: check.fresh("at", -1),
        lambda: check.expression("arrival >="),
        lambda: check.expression("a > 1) OR (1 = 1"),
        lambda: check.sql("DROP TABLE rows"),
        lambda: check.sql("SELECT 1; SELECT 2"),
        lambda: check.sql("SELEC"),
    ],
)
def test_a_check_that_can_never_run_is_refused_when_written(make: Any) -> None:
    with pytest.raises(check.InvalidCheckError):
        make()


def test_a_field_of_another_kind_is_refused_with_the_near_one() -> None:
    with pytest.raises(check.InvalidCheckError, match="takes no pattern"):
        run_suite(Suite("s", [Check(kind="not_null", column="x", pattern="a")]), ROWS)


@pytest.mark.parametrize(
    ("rule", "named"),
    [
        (check.expression("hihg >= low"), "hihg >= low"),
        (check.expression("low + 1"), "not a condition"),
        (check.expression("sum(low) > 1"), "sum"),
        (check.sql("SELECT count(*) FROM elsewhere"), "elsewhere"),
        (check.mean("s", 0), "needs numbers"),
        (check.fresh("x", "1d"), "needs times"),
        (check.length("x", 1), "length"),
        (check.between("id", "low", "high"), "between"),
    ],
)
def test_a_check_that_does_not_fit_is_named_and_nothing_has_run(rule: Check, named: str) -> None:
    ran: list[str] = []

    def note(table: Table) -> bool:
        ran.append(table.name)
        return True

    with pytest.raises(check.InvalidCheckError, match=named):
        run_suite(Suite("s", [check.python(note), check.not_null("x"), rule]), ROWS)
    assert ran == []


@pytest.mark.parametrize(
    "query",
    [
        "SELECT count(*) FROM read_text('{file}')",
        "SELECT count(*) FROM '{file}'",
        "SELECT count(*) FROM glob('/*')",
        "SELECT count(*) FROM secret",
    ],
)
def test_sql_of_a_user_reads_no_file_and_no_variable(data: Data, tmp_path: Path, query: str) -> None:
    secret = pa.table({"a": [1]})
    (tmp_path / "secret.csv").write_text("a\n1\n")
    text = query.format(file=tmp_path / "secret.csv")
    data.add("stored", ROWS)

    for rule in (check.sql(text), check.expression(f"({text}) > 0")):
        for rows in (ROWS, data.read("stored")):
            with pytest.raises(check.InvalidCheckError):
                ask(rule, rows)
    assert secret.num_rows == 1


@pytest.mark.parametrize(
    "query", ["SELECT 1, 2", "SELECT 'a'", "SELECT NULL", "SELECT 1 WHERE false", "FROM rows"]
)
def test_a_query_that_is_no_count_is_refused(query: str) -> None:
    with pytest.raises(check.InvalidCheckError, match="one number"):
        ask(check.sql(query))


@pytest.mark.parametrize("make", [check.sql, lambda query: check.expression(f"({query}) > 0")])
def test_sql_of_a_user_ends(monkeypatch: pytest.MonkeyPatch, make: Any) -> None:
    monkeypatch.setattr(engine, "LONGEST_S", 0.3)

    with pytest.raises(engine.QueryTooLongError, match="was stopped"):
        ask(make("SELECT count(*) FROM range(100000000000) a(i) WHERE hash(i) = 7"))


def test_an_infinite_bound_is_none() -> None:
    assert check.between("x", 0, float("inf")) == check.between("x", 0, None)
    with pytest.raises(check.InvalidCheckError, match="needs low or high"):
        check.mean("x", -float("inf"), float("inf"))


def test_a_reference_to_an_unknown_column_names_a_near_one() -> None:
    with pytest.raises(MissingColumnError, match="Did you mean faa"):
        ask(check.references("s", table="airports", key="fax"), tables={"airports": AIRPORTS})


def test_all_kinds_of_one_scan_run_together() -> None:
    rules = [
        check.not_null("id"), check.between("x", 0, 10), check.expression("high >= low"), check.mean("x", 0, 10),
        check.std("x", 0, 10), check.quantile("x", 0.5, 0, 10), check.unique("id"), check.distinct("s", min=1),
        check.null_share("x", 0.5), check.fresh("at", "1d"), check.of_type("id", "integer"), check.length("s", 0, 9),
        check.references("s", table="airports", key="faa"), check.row_count(min=5), check.unique("id", "s"),
        check.sql("SELECT 0"), check.python(lambda _: True), check.has_columns("id"),
    ]  # fmt: skip

    together = run_suite(Suite("s", rules), ROWS, tables={"airports": AIRPORTS}, now=DAY).results

    alone = [
        run_suite(Suite("s", [rule]), ROWS, tables={"airports": AIRPORTS}, now=DAY).results[0]
        for rule in rules
    ]
    assert together == alone
