"""What spoils a training is found, with its figure, and clean rows pass."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from everloop.data.one_column import auc, codes_of, folds_of, skill, target_of
from everloop.data.table import Table
from everloop.data.training_checks import TargetError, check_training

if TYPE_CHECKING:
    from everloop.data.service import Data
    from everloop.data.training_records import TrainingReport

DAY = datetime(2024, 1, 1, tzinfo=UTC)
ROWS = 2_000


def clean(seed: int = 0, rows: int = ROWS) -> dict[str, Any]:
    chance = np.random.default_rng(seed)
    a, b = chance.normal(size=rows), chance.normal(size=rows)
    late = (a + b + chance.normal(size=rows) > 0).astype(int)
    return {"a": a, "b": b, "origin": chance.choice(["EWR", "JFK", "LGA"], rows), "late": late}


def found(rows: dict[str, Any], **given: Any) -> TrainingReport:
    return check_training(Table.of(rows), target="late", **given)


def kinds(report: TrainingReport) -> set[tuple[str, str]]:
    return {(one.kind, one.column) for one in report.findings}


def test_clean_rows_pass_but_for_labels_that_chance_turned() -> None:
    report = found(clean(), test=Table.of(clean(1, 500)))

    assert kinds(report) <= {("label_errors", "")}
    assert (report.task, report.rows, report.judged) == ("classification", ROWS, ROWS)
    assert [one.column for one in report.skills[:2]] in (["a", "b"], ["b", "a"])
    assert report.skills[-1].skill == pytest.approx(0.5, abs=0.05)


def test_copies_and_columns_that_tell_nearly_all_are_leaks() -> None:
    rows = clean()
    rows["word"] = np.where(rows["late"] == 1, "yes", "no")
    rows["minutes"] = rows["late"] * 40 + np.random.default_rng(5).normal(0, 8, ROWS)

    report = found(rows)

    assert {("target_copy", "word"), ("leakage", "minutes")} <= kinds(report)
    assert report.verdict == "failed"
    leak = next(one for one in report.findings if one.kind == "leakage")
    assert leak.figure == pytest.approx(0.99, abs=0.01)
    assert len(leak.sample) == 5


def test_a_leak_by_missing_values_is_found() -> None:
    rows = clean()
    rows["refund"] = [None if late else 1.0 for late in rows["late"]]

    assert ("target_copy", "refund") in kinds(found(rows))


def test_a_quantity_is_predicted_too() -> None:
    chance = np.random.default_rng(2)
    price = chance.normal(100, 20, ROWS)
    rows = {
        "gross": price * 1.2 + 3,
        "about": price + chance.normal(0, 2, ROWS),
        "noise": chance.normal(size=ROWS),
        "late": price,
    }

    report = found(rows)

    assert report.task == "regression"
    assert kinds(report) == {("target_copy", "gross"), ("leakage", "about")}
    assert report.skills[-1].skill < 0.05
    assert report.skipped == ["label_errors: the target is a quantity, not a class"]


def test_a_time_after_the_prediction_was_not_known() -> None:
    rows = clean()
    rows["at"] = [DAY + timedelta(hours=hour) for hour in range(ROWS)]
    rows["landed"] = [moment + timedelta(hours=3) for moment in rows["at"]]
    rows["booked"] = [moment - timedelta(days=3) for moment in rows["at"]]

    report = found(rows, time="at")

    assert {one.column for one in report.findings if one.kind == "known_later"} == {"landed"}
    with pytest.raises(TargetError, match="no column of times"):
        found(rows, time="a")


def test_identities_and_constants_are_named() -> None:
    rows = clean() | {
        "id": np.arange(ROWS),
        "code": [f"x{at}" for at in range(ROWS)],
        "year": np.full(ROWS, 2013),
    }

    report = found(rows)

    assert {("id_like", "id"), ("id_like", "code"), ("constant", "year")} <= kinds(report)
    assert not any(one.kind in ("leakage", "target_copy") for one in report.findings)


def test_ignored_columns_are_not_looked_at() -> None:
    rows = clean() | {"id": np.arange(ROWS)}

    report = found(rows, ignore=["id"])

    assert "id" not in {one.column for one in report.skills}
    assert kinds(report) <= {("label_errors", "")}


def test_repeats_contradictions_and_overlap_are_counted() -> None:
    one = clean(rows=100)
    rows = {name: np.concatenate([values, values]) for name, values in one.items()}
    rows["late"] = np.concatenate([one["late"], np.where(np.arange(100) < 10, 1 - one["late"], one["late"])])
    test = {name: values[:30] for name, values in clean(3).items()} | {"late": np.zeros(30)}
    test["a"][:6], test["b"][:6], test["origin"][:6] = one["a"][:6], one["b"][:6], one["origin"][:6]

    report = found(rows, test=Table.of(test))

    counted = {finding.kind: finding.rows for finding in report.findings}
    assert (counted["duplicates"], counted["contradictions"], counted["overlap"]) == (90, 20, 6)
    assert next(one for one in report.findings if one.kind == "overlap").severity == "fail"
    with pytest.raises(TargetError, match="no column"):
        found(rows, test=Table.of({"a": [1.0]}))


def test_rare_classes_are_named() -> None:
    rows = clean()
    rows["late"] = np.where(np.arange(ROWS) < 10, 2, rows["late"])

    report = found(rows)

    rare = [one for one in report.findings if one.kind == "imbalance"]
    assert [(one.rows, one.reason) for one in rare] == [(10, "class 2 has 10 rows, 0.50%")]
    assert report.skipped == ["label_errors: a class has fewer than 20 rows"]


def test_labels_that_were_turned_are_found_first() -> None:
    chance = np.random.default_rng(4)
    x = chance.normal(size=(ROWS, 2))
    truth = np.where(x[:, 0] + x[:, 1] > 0, "late", "early")
    turned = chance.choice(ROWS, 60, replace=False)
    labels = truth.copy()
    labels[turned] = np.where(truth[turned] == "late", "early", "late")

    report = check_training(
        Table.of({"row": np.arange(ROWS), "a": x[:, 0], "b": x[:, 1], "label": labels}), target="label"
    )

    finding = next(one for one in report.findings if one.kind == "label_errors")
    assert 40 <= finding.rows <= 160
    assert {row["row"] for row in finding.sample} <= set(turned.tolist())
    assert all(row["likely"] != row["label"] for row in finding.sample)


def test_a_large_table_is_judged_on_a_sample_that_a_seed_repeats() -> None:
    reports = [found(clean(rows=3_000), at_most=1_000) for _ in range(2)]

    assert reports[0] == reports[1]
    assert (reports[0].rows, reports[0].judged) == (3_000, 1_000)


@pytest.mark.parametrize(
    ("rows", "told"),
    [
        ({"a": [1.0] * 60, "late": [1] * 60}, "all the same"),
        ({"a": [1.0, 2.0], "late": [0, 1]}, "too few"),
        ({"a": [1.0] * 60, "latte": [1] * 60}, "Did you mean latte"),
    ],
)
def test_a_target_without_anything_to_predict_is_refused(rows: dict[str, Any], told: str) -> None:
    with pytest.raises(TargetError, match=told):
        found(rows)


def test_rows_without_a_label_are_left_out() -> None:
    rows = clean()
    rows["late"] = np.where(np.arange(ROWS) % 4 == 0, np.nan, rows["late"])

    assert found(rows).judged == ROWS * 3 // 4


def test_auc_counts_ties_half() -> None:
    # pairs (positive, negative): 0.9 over 0.5 and 0.1, 0.5 over 0.1 and even with 0.5
    assert auc(np.array([0.9, 0.5, 0.5, 0.1]), np.array([True, True, False, False])) == 3.5 / 4


def test_a_column_of_every_type_has_bins() -> None:
    table = Table.of({
        "f": [1.5, None, 2.5] * 20, "s": ["x", None, "y"] * 20, "b": [True, None, False] * 20,
        "t": [DAY, None, DAY] * 20, "l": [[1], None, [2]] * 20, "y": [0, 1, 0] * 20,
    }).to_arrow()  # fmt: skip
    goal = target_of(table["y"].combine_chunks())

    for name in "fsbtl":
        assert skill(codes_of(table[name].combine_chunks()), goal, folds_of(60, 0)) == 1.0, name


def test_the_verb_tells_what_it_found_and_no_rows(data: Data) -> None:
    data.add("flights", clean() | {"copy": clean()["late"]})
    data.add("held", clean(9, 100))

    report = data.check_training("flights", target="late", test="held", ignore=["copy"])
    leaking = data.check_training("flights@v1", target="late")

    assert (report.ref, report.test) == ("flights@v1", "held@v1")
    assert leaking.verdict == "failed"
    event = [one for one in data.kernel.events.read() if one.kind == "dataset.training_checked"][-1]
    assert event.subject == "dataset:flights@v1"
    assert "sample" not in str(event.payload)
