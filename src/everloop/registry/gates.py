"""Gather the facts of a gate: its rows, both models' scores, the comparison; the decision itself is in rules.py.

Tests: tests/unit/registry/test_service.py.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, NamedTuple, cast

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from everloop.core.ids import new_id
from everloop.registry.columns import as_arrow, plain_values, select
from everloop.registry.records import GateReport
from everloop.registry.rules import GateFacts, judge, overall

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from everloop.evaluation.service import Evaluation
    from everloop.registry.columns import Values
    from everloop.registry.model import Model
    from everloop.registry.records import Gate, ModelVersion, Signature


class GateRows(NamedTuple):
    """The labelled rows of a gate, and the facts about all of them."""

    features: pa.Table
    labels: NDArray[np.float64]
    blocks: NDArray[np.str_]
    rows: int
    oldest: datetime | None
    newest: datetime | None


class Scores(NamedTuple):
    """Scores of both models on the labelled rows; a constant stands in for a missing champion."""

    challenger: NDArray[np.float64]
    champion: NDArray[np.float64]


def gate_rows(table: object, signature: Signature, *, time: str, block: str) -> GateRows:
    """Split a table into features, labels and blocks; rows without a label are counted and left out.

    Args:
        table: features, target and time.
        signature: the challenger's.
        time: the time column (timestamps without a zone are UTC).
        block: the column of independent groups; the day of `time` when empty.
    """
    arrow = as_arrow(table)
    select(arrow, [time, signature.output.target, *signature.features])
    times = pc.cast(arrow.column(time), pa.timestamp("us", tz="UTC"))
    labelled = arrow.append_column("__time", times).filter(pc.is_valid(arrow.column(signature.output.target)))
    groups = labelled.column(block) if block else pc.strftime(labelled.column("__time"), format="%Y-%m-%d")
    return GateRows(
        features=labelled.select(signature.features),
        labels=numeric_labels(labelled.column(signature.output.target), signature),
        blocks=np.array(groups.to_pylist(), dtype=str),
        rows=arrow.num_rows,
        oldest=_moment(pc.min(times)),
        newest=_moment(pc.max(times)),
    )


def numeric_labels(labels: Values, signature: Signature) -> NDArray[np.float64]:
    """Return labels as numbers: 1 for the positive value and 0 for others when the model answers a probability."""
    values = plain_values(labels)
    if signature.output.kind == "probability" and not pa.types.is_boolean(values.type):
        positive = pa.scalar(signature.output.positive, type=values.type)
        values = cast("Values", pc.equal(values, positive))
    return np.array(values.to_pylist(), dtype=np.float64)


def score_both(rows: GateRows, challenger: Model, champion: Model | None) -> Scores:
    """Return the scores of both models on the labelled rows.

    Without a champion the best constant for these rows stands in: the mean of their labels.
    """
    new = challenger.predict(rows.features)
    if champion is not None:
        return Scores(new, champion.predict(rows.features))
    mean = rows.labels.mean() if rows.labels.size else 0.0
    return Scores(new, np.full(rows.labels.size, mean))


def decide(
    gate: Gate,
    challenger: ModelVersion,
    champion: ModelVersion | None,
    rows: GateRows,
    scores: Scores,
    *,
    evaluation: Evaluation,
    data: str,
    now: datetime,
) -> GateReport:
    """Compare, judge, and put the evidence beside the result."""
    compared = None
    if rows.labels.size:
        compared = evaluation.compare(
            rows.labels,
            scores.champion,
            scores.challenger,
            subject=challenger.subject,
            against=champion.subject if champion else "constant",
            data=data,
            margins={condition.metric: condition.margin for condition in gate.conditions},
            blocks=rows.blocks,
        )
    found = {c.metric: c for c in compared.comparisons} if compared else {}
    facts = GateFacts(
        rows=rows.rows,
        labelled=rows.labels.size,
        oldest=rows.oldest,
        newest=rows.newest,
        now=now,
        challenger_until=challenger.trained_until,
        champion_until=champion.trained_until if champion else None,
        has_champion=champion is not None,
        comparisons=[found[condition.metric] for condition in gate.conditions if condition.metric in found],
    )
    conditions = judge(gate, facts)
    return GateReport(
        id=new_id(),
        model=challenger.model,
        version=challenger.version,
        against=champion.ref if champion else "",
        result=overall(conditions),
        conditions=conditions,
        comparisons=facts.comparisons,
        gate=gate,
        evidence={
            "challenger": challenger.digest,
            "champion": champion.digest if champion else "",
            "data": data,
            "evaluation": compared.id if compared else "",
        },
        created_at=now,
    )


def _moment(value: Any) -> datetime | None:  # noqa: ANN401 - an Arrow scalar of any kind
    found = value.as_py()
    return None if found is None else found.astimezone(UTC)
