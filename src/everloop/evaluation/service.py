"""The verbs of evaluation: measure a model, compare two, keep the report.

Arrays are worked on where the caller is; only the report travels. Tests: tests/unit/evaluation/test_service.py.
"""

from __future__ import annotations

import builtins
from typing import TYPE_CHECKING

import msgspec
import numpy as np
import sqlalchemy as sa

from everloop.core.digests import Digest
from everloop.core.errors import NotFoundError
from everloop.core.ids import new_id
from everloop.evaluation import comparison, tables
from everloop.evaluation.calibration import calibration
from everloop.evaluation.intervals import estimate
from everloop.evaluation.metrics import FloatArray, aligned, is_gain_positive_up, measure
from everloop.evaluation.records import EvaluationReport, MetricReport, StoredEvaluation
from everloop.kernel.operations import Service, operation

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import ArrayLike

CLASSIFICATION = ("auc", "log_loss", "brier")


class EvaluationNotFoundError(NotFoundError):
    """No evaluation has this id."""

    code = "evaluation.not-found"


class Evaluation(Service):
    """Measures models with intervals and keeps what was found."""

    stage = "evaluation"

    def evaluate(
        self,
        labels: ArrayLike,
        scores: ArrayLike,
        *,
        subject: str,
        data: str = "",
        metrics: Sequence[str] = CLASSIFICATION,
        blocks: ArrayLike | None = None,
    ) -> EvaluationReport:
        """Measure one model's scores and store the report.

        Args:
            labels: n values.
            scores: n values.
            subject: what was measured, for example `model:delays@v3`.
            data: where the rows come from, for example `dataset:flights@v7`.
            metrics: names of metrics.
            blocks: n names of independent groups of rows, such as days.
        """
        truth, score = aligned(labels, scores)
        return self._store(
            EvaluationReport(
                id=new_id(),
                subject=subject,
                data=data,
                created_at=self.kernel.clock.now(),
                rows=truth.size,
                positives=_positives(truth),
                metrics=[metric_report(name, truth, score, blocks=blocks) for name in metrics],
                calibration=calibration(truth, score) if set(metrics) & set(CLASSIFICATION) else None,
            )
        )

    def compare(
        self,
        labels: ArrayLike,
        champion: ArrayLike,
        challenger: ArrayLike,
        *,
        subject: str,
        against: str,
        data: str = "",
        margins: dict[str, float],
        blocks: ArrayLike | None = None,
    ) -> EvaluationReport:
        """Compare a challenger with the champion on the same rows and store the report.

        Args:
            labels: n values.
            champion: n scores.
            challenger: n scores.
            subject: the challenger, for example `model:delays@v3`.
            against: the champion.
            data: where the rows come from.
            margins: the accepted loss of quality for each metric to compare.
            blocks: n names of independent groups of rows, such as days.
        """
        truth, score = aligned(labels, challenger)
        binary = bool(set(margins) & set(CLASSIFICATION))
        return self._store(
            EvaluationReport(
                id=new_id(),
                subject=subject,
                against=against,
                data=data,
                created_at=self.kernel.clock.now(),
                rows=truth.size,
                positives=_positives(truth),
                metrics=[metric_report(name, truth, score, blocks=blocks) for name in margins],
                comparisons=[
                    comparison.compare(truth, champion, challenger, metric=name, margin=margin, blocks=blocks)
                    for name, margin in margins.items()
                ],
                discordance=comparison.discordance(truth, champion, challenger) if binary else None,
            )
        )

    def report(self, evaluation: str) -> EvaluationReport:
        """Return the whole report of a stored evaluation."""
        stored = self.get(evaluation)
        return msgspec.json.decode(self.kernel.objects.get(Digest(stored.digest)), type=EvaluationReport)

    @operation(
        "POST /evaluations",
        needs="evaluation.create",
        emits="evaluation.recorded",
        cli="",
        cli_reason="reports are made from arrays, in Python",
    )
    def record(self, *, report: str, digest: str) -> StoredEvaluation:
        """Record a report that lies in the object store; recording it again changes nothing.

        Args:
            report: the report's id.
            digest: the object with the report's JSON.
        """
        content = msgspec.json.decode(self.kernel.objects.get(Digest(digest)), type=EvaluationReport)
        row = StoredEvaluation(
            id=report,
            subject=content.subject,
            against=content.against,
            data=content.data,
            created_at=content.created_at,
            rows=content.rows,
            digest=digest,
        )
        with self.kernel.catalog.transaction() as connection:
            known = sa.select(tables.evaluation.c.id).where(tables.evaluation.c.id == report)
            if connection.execute(known).first() is not None:
                self.unchanged()
                return row
            connection.execute(tables.evaluation.insert().values(msgspec.structs.asdict(row)))
            event = self.emit(connection, subject=f"evaluation:{report}", payload=_payload(content, digest))
            self.kernel.events.link(
                connection,
                source=content.subject,
                verb="evaluated",
                target=f"evaluation:{report}",
                event=event,
            )
        return row

    @operation("GET /evaluations/{evaluation}", needs="evaluation.read", cli="model evaluation")
    def get(self, evaluation: str) -> StoredEvaluation:
        """Return where an evaluation's report lies."""
        query = sa.select(tables.evaluation).where(tables.evaluation.c.id == evaluation)
        with self.kernel.catalog.read() as connection:
            row = connection.execute(query).first()
        if row is None:
            raise EvaluationNotFoundError(
                f"there is no evaluation {evaluation}; list them with `everloop model evaluations`.",
                subject=evaluation,
            )
        return StoredEvaluation(**row._mapping)  # noqa: SLF001 - SQLAlchemy's public name

    @operation("GET /evaluations", needs="evaluation.read", cli="model evaluations")
    def list(
        self, *, subject: str = "", limit: int = 100, before: str = ""
    ) -> builtins.list[StoredEvaluation]:
        """Return evaluations, newest first; `before` is the id the last page ended with."""
        query = sa.select(tables.evaluation).order_by(tables.evaluation.c.id.desc()).limit(limit)
        if subject:
            query = query.where(tables.evaluation.c.subject == subject)
        if before:
            query = query.where(tables.evaluation.c.id < before)
        with self.kernel.catalog.read() as connection:
            rows = connection.execute(query).all()
        return [StoredEvaluation(**row._mapping) for row in rows]  # noqa: SLF001 - SQLAlchemy's public name

    def _store(self, report: EvaluationReport) -> EvaluationReport:
        digest = self.kernel.objects.put(msgspec.json.encode(report))
        self.record(report=report.id, digest=digest)
        return report


def metric_report(
    metric: str, labels: FloatArray, scores: FloatArray, *, blocks: ArrayLike | None = None
) -> MetricReport:
    """Return a metric beside its constant baseline: the best one number for all of these very rows.

    Skill is the share of the way from the baseline to a perfect value.
    """
    found = estimate(metric, labels, scores, blocks=blocks)
    baseline = _baseline(metric, labels)
    ideal = 1.0 if is_gain_positive_up(metric) else 0.0
    skill = None
    if found.value is not None and baseline is not None and baseline != ideal:
        skill = (found.value - baseline) / (ideal - baseline)
    return MetricReport(metric=metric, estimate=found, baseline=baseline, skill=skill)


def _baseline(metric: str, labels: FloatArray) -> float | None:
    if not labels.size:
        return None
    constant = np.median(labels) if metric == "absolute_error" else labels.mean()
    value = measure(metric, labels, np.full(labels.size, constant))
    return value if np.isfinite(value) else None


def _positives(labels: FloatArray) -> int | None:
    return int(labels.sum()) if np.isin(labels, (0.0, 1.0)).all() else None


def _payload(report: EvaluationReport, digest: str) -> dict[str, object]:
    outcomes = {found.metric: found.verdict.outcome for found in report.comparisons}
    figures = {found.metric: found.estimate.value for found in report.metrics}
    return {
        "subject": report.subject,
        "against": report.against,
        "data": report.data,
        "rows": report.rows,
        "figures": figures,
        "outcomes": outcomes,
        "report": digest,
    }
