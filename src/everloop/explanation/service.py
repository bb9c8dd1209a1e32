"""The verbs of explanation: keep the importance of a model's features and find it again.

Contributions are computed where the rows are; only the summary travels. Tests: tests/unit/explanation/test_service.py.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec
import sqlalchemy as sa

from everloop.core.digests import Digest
from everloop.core.errors import NotFoundError
from everloop.core.ids import new_id
from everloop.explanation import tables
from everloop.explanation.contributions import importances
from everloop.explanation.records import GlobalExplanation
from everloop.kernel.operations import Service, operation

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy as np
    from numpy.typing import NDArray


class NotExplainedError(NotFoundError):
    """Nothing was explained about this model."""

    code = "explanation.not-found"


class Explanation(Service):
    """Keeps what drives a model."""

    stage = "explanation"

    def summarise(
        self, contributions: NDArray[np.float64], *, features: Sequence[str], subject: str, data: str = ""
    ) -> GlobalExplanation:
        """Store the importance of each feature over some rows.

        Args:
            contributions: an array (n, k + 1), the base last; see `contributions.py`.
            features: k names.
            subject: the model, for example `model:delays@v3`.
            data: where the rows come from.
        """
        found = GlobalExplanation(
            id=new_id(),
            subject=subject,
            data=data,
            created_at=self.kernel.clock.now(),
            rows=len(contributions),
            base=float(contributions[:, -1].mean()) if len(contributions) else 0.0,
            importances=importances(contributions, features),
        )
        digest = self.kernel.objects.put(msgspec.json.encode(found))
        return self.record(digest=digest)

    @operation(
        "POST /explanations",
        needs="explanation.create",
        emits="explanation.recorded",
        cli_reason="explanations are made from arrays, in Python",
    )
    def record(self, *, digest: str) -> GlobalExplanation:
        """Record an explanation that lies in the object store; recording it again changes nothing."""
        found = msgspec.json.decode(self.kernel.objects.get(Digest(digest)), type=GlobalExplanation)
        with self.kernel.catalog.transaction() as connection:
            known = sa.select(tables.explanation.c.id).where(tables.explanation.c.id == found.id)
            if connection.execute(known).first() is not None:
                self.unchanged()
                return found
            values = {
                "id": found.id,
                "subject": found.subject,
                "created_at": found.created_at,
                "digest": digest,
            }
            connection.execute(tables.explanation.insert().values(values))
            top = [item.feature for item in found.importances[:3]]
            self.emit(
                connection,
                subject=found.subject,
                payload={"explanation": digest, "rows": found.rows, "top": top},
            )
        return found

    @operation("GET /explanations/latest", needs="explanation.read", cli="model explain")
    def latest(self, *, subject: str) -> GlobalExplanation:
        """Return the newest explanation of a subject, for example `model:delays@v3`."""
        query = (
            sa.select(tables.explanation.c.digest)
            .where(tables.explanation.c.subject == subject)
            .order_by(tables.explanation.c.id.desc())
            .limit(1)
        )
        with self.kernel.catalog.read() as connection:
            digest = connection.execute(query).scalar()
        if digest is None:
            raise NotExplainedError(
                f"nothing is stored about what drives {subject}; explain it with `registry.explain`.",
                subject=subject,
            )
        return msgspec.json.decode(self.kernel.objects.get(Digest(digest)), type=GlobalExplanation)
