"""Checks of rows before a model is trained on them: what would spoil the model, or the estimate of how good it is.

Copies of the target, columns that predict it almost alone, columns known only after, identities, constants, repeated and
contradicting rows, rows of the test set that are in training, rare classes, labels that are likely wrong. Tests:
tests/unit/data/test_training_checks.py.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from everloop.core.errors import InvalidInputError, MissingExtraError
from everloop.data import one_column
from everloop.data.check_kinds import near
from everloop.data.label_errors import confident_suspects, out_of_fold
from everloop.data.one_column import codes_of, folds_of, target_of
from everloop.data.rows import hash_rows
from everloop.data.training_records import ColumnSkill, TrainingFinding, TrainingReport

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from everloop.data.one_column import Ints, Target
    from everloop.data.table import Table

# A column alone that good is hardly ever honest. R squared asks for less, as it punishes every miss by its square.
LEAK_AUC, LEAK_R2 = 0.97, 0.9
_NEARLY_ALL = 0.999
_ID_SHARE = 0.95
_RARE_CLASS, _FEW_ROWS = 0.01, 20
_LATER_SHARE = 0.01
_REPEATED = 0.01
_SAMPLE = 5
_LEAST_ROWS = 50


class TargetError(InvalidInputError):
    """The target of a training check is missing or has nothing to predict."""

    code = "data.training-target"


def check_training(
    table: Table,
    *,
    target: str,
    test: Table | None = None,
    time: str = "",
    ignore: Sequence[str] = (),
    at_most: int = 100_000,
    seed: int = 0,
) -> TrainingReport:
    """Return what would spoil a training on a table.

    Args:
        table: the rows to train on.
        target: the column to predict; a number with more than 20 different values is a quantity, else a class.
        test: rows to judge the model on, with the same columns.
        time: the column of the moment a prediction is made; times after it were not known then.
        ignore: columns that the model will not see.
        at_most: figures of columns and labels are taken from so many rows, drawn at random when there are more.
        seed: of that draw and of the folds.

    Raises:
        TargetError: the target is no column, or has fewer than two values or 50 rows.
    """
    rows, chosen = _rows_of(table, target, at_most, seed)
    features = [name for name in table.column_names if name != target and name not in ignore]
    goal = target_of(chosen[target].combine_chunks())
    folds = folds_of(chosen.num_rows, seed)
    codes = {name: codes_of(chosen[name].combine_chunks()) for name in features}
    skills = {name: one_column.skill(codes[name], goal, folds) for name in features}
    skipped: list[str] = []
    findings = [
        *_leaks(chosen, target, goal, codes, skills),
        *_later(chosen, features, time),
        *_shapes(chosen, features, codes),
        *_classes(goal),
        *_repeats(rows, features, target),
        *_overlap(rows, test, features),
        *_labels(chosen, target, goal, codes, folds, seed, skipped),
    ]
    ordered = sorted(skills.items(), key=lambda item: -item[1])
    return TrainingReport(
        ref=table.name,
        test=test.name if test is not None else "",
        target=target,
        task="classification" if goal.is_classes else "regression",
        rows=table.num_rows,
        judged=chosen.num_rows,
        verdict=_verdict(findings),
        findings=findings,
        skills=[ColumnSkill(column=name, skill=value) for name, value in ordered],
        skipped=skipped,
    )


def _verdict(findings: Sequence[TrainingFinding]) -> Any:  # noqa: ANN401 - one of three words
    if any(one.severity == "fail" for one in findings):
        return "failed"
    return "warned" if findings else "passed"


def _rows_of(table: Table, target: str, at_most: int, seed: int) -> tuple[pa.Table, pa.Table]:
    """Return all rows, and those with a target, at most so many."""
    if target not in table.column_names:
        raise TargetError(f"there is no column {target} to predict. {near(target, table.column_names)}")
    rows = table.to_arrow()
    present = pc.is_valid(rows[target])
    if pa.types.is_floating(rows.schema.field(target).type):
        present = pc.and_(present, pc.is_finite(rows[target]))
    known = rows.filter(present)
    if known.num_rows < _LEAST_ROWS or pc.count_distinct(known[target]).as_py() < 2:  # noqa: PLR2004 - one value predicts itself
        raise TargetError(
            f"{target} has {known.num_rows:,} values, too few or all the same: {_LEAST_ROWS} rows and two values are needed."
        )
    if known.num_rows > at_most:
        drawn = np.sort(np.random.default_rng(seed).choice(known.num_rows, at_most, replace=False))
        known = _take(known, drawn)
    return rows, known


def _leaks(
    rows: pa.Table, target: str, goal: Target, codes: dict[str, Ints], skills: dict[str, float]
) -> Iterable[TrainingFinding]:
    limit, measure = (LEAK_AUC, "AUC") if goal.is_classes else (LEAK_R2, "R squared")
    for name, value in skills.items():
        if _is_copy(rows[name], rows[target], goal, codes[name]):
            yield TrainingFinding(
                kind="target_copy", severity="fail", column=name, figure=value, measure=measure,
                reason=f"{name} says the same as {target}", rows=rows.num_rows, sample=_shown(rows.select([name, target])),
            )  # fmt: skip
        elif value >= limit:
            yield TrainingFinding(
                kind="leakage", severity="fail", column=name, figure=value, measure=measure, rows=rows.num_rows,
                reason=f"{name} alone predicts {target} with {measure} {value:.3f}: is it known before?",
                sample=_shown(rows.select([name, target])),
            )  # fmt: skip


def _is_copy(column: Any, target: Any, goal: Target, codes: Ints) -> bool:  # noqa: ANN401 - Arrow columns
    """Return whether each value stands for one value of the target and the other way round, in nearly all rows."""
    if goal.is_classes:
        values = goal.values.astype(np.int64)
        table = np.zeros((int(codes.max()) + 1, len(goal.classes)), dtype=np.int64)
        if table.shape[0] > 2 * len(goal.classes) + 2:
            return False
        np.add.at(table, (codes, values), 1)
        # The best class of each value, and the best value of each class.
        return bool(min(table.max(axis=1).sum(), table.max(axis=0).sum()) >= _NEARLY_ALL * codes.size)
    if not (pa.types.is_floating(column.type) or pa.types.is_integer(column.type)):
        return False
    both = pc.and_kleene(pc.is_valid(column), pc.is_valid(target))
    left, right = (np.asarray(pc.cast(one.filter(both), pa.float64()).to_numpy()) for one in (column, target))
    is_number = np.isfinite(left)
    left, right = left[is_number], right[is_number]
    if left.size < _NEARLY_ALL * len(column) or not left.std() or not right.std():
        return False
    return abs(float(np.corrcoef(left, right)[0, 1])) >= 1 - 1e-9


def _later(rows: pa.Table, features: Sequence[str], time: str) -> Iterable[TrainingFinding]:
    if not time:
        return
    if time not in rows.column_names or not pa.types.is_temporal(rows.schema.field(time).type):
        raise TargetError(
            f"{time} is no column of times, so nothing can be known later than it. Name one in time=."
        )
    moment = _microseconds(rows[time], missing=np.iinfo(np.int64).max)
    for name in features:
        kind = rows.schema.field(name).type
        if name == time or not (pa.types.is_timestamp(kind) or pa.types.is_date(kind)):
            continue
        is_later = _microseconds(rows[name], missing=np.iinfo(np.int64).min) > moment
        later = int(is_later.sum())
        if later > _LATER_SHARE * rows.num_rows:
            yield TrainingFinding(
                kind="known_later", severity="fail", column=name, figure=later / rows.num_rows, measure="share of rows",
                reason=f"{name} is later than {time} in {later:,} rows, so it was not known then", rows=later,
                sample=_shown(_take(rows, np.flatnonzero(is_later)[:_SAMPLE]).select([time, name])),
            )  # fmt: skip


def _shapes(rows: pa.Table, features: Sequence[str], codes: dict[str, Ints]) -> Iterable[TrainingFinding]:
    for name in features:
        most = int(np.bincount(codes[name]).max())
        kind = rows.schema.field(name).type
        is_nameable = pa.types.is_integer(kind) or pa.types.is_string(kind)
        different = pc.count_distinct(rows[name]).as_py() if is_nameable else 0
        present = rows.num_rows - rows[name].null_count
        if most >= _NEARLY_ALL * rows.num_rows:
            yield TrainingFinding(
                kind="constant", severity="warn", column=name, figure=most / rows.num_rows, measure="share of rows",
                reason=f"{name} is the same in {most:,} of {rows.num_rows:,} rows", rows=most,
            )  # fmt: skip
        elif is_nameable and different >= _ID_SHARE * present and present >= _LEAST_ROWS:
            yield TrainingFinding(
                kind="id_like", severity="warn", column=name, figure=different / present, measure="share of different values",
                reason=f"{name} has {different:,} values in {present:,} rows: a model learns rows by heart with it", rows=present,
                sample=_shown(rows.select([name])),
            )  # fmt: skip


def _classes(goal: Target) -> Iterable[TrainingFinding]:
    if not goal.is_classes:
        return
    counts = np.bincount(goal.values.astype(np.int64), minlength=len(goal.classes))
    for name, count in zip(goal.classes, counts.tolist(), strict=True):
        share = count / goal.values.size
        if share < _RARE_CLASS or count < _FEW_ROWS:
            yield TrainingFinding(
                kind="imbalance", severity="warn", figure=share, measure="share of rows", rows=count,
                reason=f"class {name} has {count:,} rows, {share:.2%}",
            )  # fmt: skip


def _repeats(rows: pa.Table, features: Sequence[str], target: str) -> Iterable[TrainingFinding]:
    if not features:
        return
    inputs = _hashes(rows.select(list(features)))
    whole = _hashes(rows.select([*features, target]))
    _, first, counts = np.unique(whole, return_index=True, return_counts=True)
    again = int(rows.num_rows - first.size)
    if again > _REPEATED * rows.num_rows:
        yield TrainingFinding(
            kind="duplicates", severity="warn", figure=again / rows.num_rows, measure="share of rows", rows=again,
            reason=f"{again:,} rows repeat another; split so that equal rows stay on one side",
            sample=_shown(_take(rows, first[np.argsort(-counts, kind="stable")[:_SAMPLE]])),
        )  # fmt: skip
    _, place = np.unique(inputs, return_inverse=True)
    answers = np.bincount(place[first], minlength=int(place.max()) + 1)
    against = np.flatnonzero(answers[place] > 1)
    if against.size > _REPEATED * rows.num_rows:
        yield TrainingFinding(
            kind="contradictions", severity="warn", figure=against.size / rows.num_rows, measure="share of rows",
            rows=int(against.size), reason=f"{against.size:,} rows have the inputs of another and a different {target}",
            sample=_shown(_take(rows, against[np.argsort(place[against], kind="stable")[:_SAMPLE]])),
        )  # fmt: skip


def _overlap(rows: pa.Table, test: Table | None, features: Sequence[str]) -> Iterable[TrainingFinding]:
    if test is None:
        return
    missing = [name for name in features if name not in test.column_names]
    if missing:
        raise TargetError(
            f"the test rows have no column {', '.join(missing)}. Give rows with the columns of the training."
        )
    held = test.to_arrow(features).cast(rows.select(list(features)).schema)
    is_known = np.isin(_hashes(held), _hashes(rows.select(list(features))))
    count = int(is_known.sum())
    if count:
        share = count / max(held.num_rows, 1)
        yield TrainingFinding(
            kind="overlap", severity="fail" if share > _REPEATED else "warn", figure=share, measure="share of test rows",
            rows=count, reason=f"{count:,} of {held.num_rows:,} test rows have the inputs of a training row",
            sample=_shown(held.filter(pa.array(is_known))),
        )  # fmt: skip


def _labels(
    rows: pa.Table,
    target: str,
    goal: Target,
    codes: dict[str, Ints],
    folds: Ints,
    seed: int,
    skipped: list[str],
) -> list[TrainingFinding]:
    if not goal.is_classes or not codes:
        skipped.append("label_errors: the target is a quantity, not a class")
        return []
    labels = goal.values.astype(np.int64)
    if np.bincount(labels).min() < _FEW_ROWS:
        skipped.append(f"label_errors: a class has fewer than {_FEW_ROWS} rows")
        return []
    try:
        probabilities = out_of_fold(list(codes.values()), labels, folds, seed=seed)
    except MissingExtraError as error:
        skipped.append(f"label_errors: {error}")
        return []
    found = confident_suspects(probabilities, labels)
    if not found.rows.size:
        return []
    shown = _shown(_take(rows, found.rows[:_SAMPLE]))
    sample = [
        {**row, "likely": goal.classes[number]}
        for row, number in zip(shown, found.classes[:_SAMPLE].tolist(), strict=True)
    ]
    return [
        TrainingFinding(
            kind="label_errors", severity="warn", figure=found.rows.size / labels.size, measure="share of rows",
            rows=int(found.rows.size), sample=sample,
            reason=f"{found.rows.size:,} rows look like another class than their {target}; the likeliest are shown",
        )
    ]  # fmt: skip


def _hashes(rows: pa.Table) -> Any:  # noqa: ANN401 - n unsigned words
    return hash_rows(rows).a


def _microseconds(column: Any, *, missing: int) -> Any:  # noqa: ANN401 - an Arrow column of times, n numbers
    whole = pc.cast(pc.cast(column, pa.timestamp("us"), safe=False), pa.int64())
    return pc.fill_null(whole, missing).to_numpy()


def _take(rows: Any, places: Any) -> pa.Table:  # noqa: ANN401 - an Arrow table, positions
    taken: pa.Table = rows.take(pa.array(places))
    return taken


def _shown(rows: pa.Table) -> list[dict[str, Any]]:
    return [
        {
            name: value if isinstance(value, str | int | float | None) else str(value)
            for name, value in row.items()
        }
        for row in rows.slice(0, _SAMPLE).to_pylist()
    ]
