"""What the protocol must remember and no stage knows: inputs and outputs of runs as MLflow describes them, and artifacts outside runs.

Tests: tests/unit/mlflow_api, tests/integration/mlflow.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec
import sqlalchemy as sa

from everloop.core.digests import Digest
from everloop.kernel.catalog.schema import Json, Time, metadata

if TYPE_CHECKING:
    from collections.abc import Iterable


class ModelMetric(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The latest value of a metric of a logged model on one dataset; `value` is a text where it is not finite."""

    key: str
    value: float | str
    timestamp: int
    step: int
    model_id: str
    run_id: str = ""
    dataset_name: str = ""
    dataset_digest: str = ""


# Datasets and models that a run read, and models it made; `document` is what the client sent.
mlflow_input = sa.Table(
    "mlflow_input",
    metadata,
    sa.Column("run", sa.BigInteger, primary_key=True, autoincrement=False),
    sa.Column("kind", sa.Text, primary_key=True),
    sa.Column("name", sa.Text, primary_key=True),
    sa.Column("digest", sa.Text, primary_key=True),
    sa.Column("document", Json(dict[str, object]), nullable=False),
)

# Artifacts that belong to no run: those of logged models and traces, and of places that a client chose.
mlflow_artifact = sa.Table(
    "mlflow_artifact",
    metadata,
    sa.Column("place", sa.Text, primary_key=True),
    sa.Column("digest", sa.Text, nullable=False),
    sa.Column("size_bytes", sa.BigInteger, nullable=False),
    sa.Column("created_at", Time, nullable=False),
)

# MLflow's logged models: a folder of artifacts with params, tags and metrics, before anyone registers it.
mlflow_model = sa.Table(
    "mlflow_model",
    metadata,
    sa.Column("id", sa.Text, primary_key=True),
    sa.Column("experiment_id", sa.BigInteger, nullable=False),
    sa.Column("name", sa.Text, nullable=False),
    sa.Column("kind", sa.Text, nullable=False),
    sa.Column("run", sa.Text, nullable=False),
    sa.Column("status", sa.Text, nullable=False),
    sa.Column("status_message", sa.Text, nullable=False),
    sa.Column("created_at", Time, nullable=False),
    sa.Column("updated_at", Time, nullable=False),
    sa.Column("deleted_at", Time),
    sa.Column("params", Json(dict[str, str]), nullable=False),
    sa.Column("tags", Json(dict[str, str]), nullable=False),
    sa.Column("metrics", Json(list[ModelMetric]), nullable=False),
    sa.Index("ix_mlflow_model_experiment", "experiment_id", "created_at"),
)

mlflow_trace = sa.Table(
    "mlflow_trace",
    metadata,
    sa.Column("id", sa.Text, primary_key=True),
    sa.Column("experiment_id", sa.BigInteger, nullable=False),
    # Microseconds since 1970.
    sa.Column("requested_at", sa.BigInteger, nullable=False),
    sa.Column("info", Json(dict[str, Any]), nullable=False),
    sa.Column("tags", Json(dict[str, str]), nullable=False),
    sa.Column("assessments", Json(list[dict[str, Any]]), nullable=False),
    sa.Index("ix_mlflow_trace_experiment", "experiment_id", "requested_at"),
)


def roots(connection: sa.Connection) -> Iterable[tuple[Digest, str]]:
    """Yield the objects that artifacts outside runs point at."""
    for row in connection.execute(sa.select(mlflow_artifact.c.digest, mlflow_artifact.c.place)):
        yield Digest(row.digest), f"MLflow artifact {row.place}"
