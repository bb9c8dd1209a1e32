"""The verbs of the registry: register, find, alias, gate, approve.

Models are saved, scored and compared where the caller is; the home keeps rows and objects. A version never changes; what
moves are aliases. Tests: tests/unit/registry/test_service.py.
"""

from __future__ import annotations

import builtins
from datetime import datetime
from typing import TYPE_CHECKING

import msgspec
import sqlalchemy as sa

from everloop.core.actors import current_actor
from everloop.core.digests import Digest, digest_bytes
from everloop.core.errors import ConflictError, InvalidInputError, PermissionDeniedError
from everloop.core.ids import new_id
from everloop.explanation.service import Explanation
from everloop.kernel.operations import operation
from everloop.registry import gates, queries, tables
from everloop.registry.model import SIGNATURE, Model
from everloop.registry.naming import InvalidModelNameError, ModelNotFoundError, check_name
from everloop.registry.organizing import Organizing
from everloop.registry.records import (
    AliasMove,
    Approval,
    GateReport,
    ModelVersion,
    RegisteredModel,
    Signature,
)

__all__ = ["InvalidModelNameError", "ModelNotFoundError", "Registry"]

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import numpy as np
    from numpy.typing import NDArray

    from everloop.evaluation.service import Evaluation
    from everloop.explanation.records import GlobalExplanation
    from everloop.kernel.operations import Kernel
    from everloop.registry.records import Gate


class StaleApprovalError(ConflictError):
    """What would be approved is not what the gate judged."""

    code = "registry.stale-approval"


class OwnApprovalError(PermissionDeniedError):
    """The author of a version wants to approve it."""

    code = "registry.own-approval"


class Registry(Organizing):
    """Keeps named models, their immutable versions and who may serve."""

    stage = "registry"

    def __init__(
        self, kernel: Kernel, *, evaluation: Evaluation, explanation: Explanation | None = None
    ) -> None:
        super().__init__(kernel)
        self._evaluation = evaluation
        self._explanation = explanation or Explanation(kernel)

    def register(
        self,
        name: str,
        model: Model,
        *,
        run: str = "",
        data: Sequence[str] = (),
        metrics: Mapping[str, float] | None = None,
        trained_until: datetime | None = None,
        note: str = "",
    ) -> ModelVersion:
        """Store a model and name it; the same content again returns the version it has.

        Args:
            name: the model's name, for example `delays`.
            model: what a training step returned.
            run: id of the run that made it.
            data: what it was trained on, for example `flights@v3`.
            metrics: figures to show beside it.
            trained_until: time of the newest row that training read; the gate needs it against leakage.
            note: free text.
        """
        files = model.files
        digests = self.kernel.objects.put_many([*files.values(), model.manifest])
        return self.create_version(
            name,
            digest=digests[-1],
            run=run,
            data=[*data],
            metrics=dict(metrics or {}),
            trained_until=trained_until,
            note=note,
        )

    def load(self, ref: str) -> Model:
        """Return the model of a version, `delays@v7` or `delays@champion`, from its files."""
        return self.load_digest(self.get(ref).digest)

    def load_digest(self, digest: str) -> Model:
        """Return the model whose manifest has this digest."""
        return load_model(self.kernel, digest)

    def score(self, ref: str, table: object) -> NDArray[np.float64]:
        """Return a version's predictions for a table, in this process."""
        return self.load(ref).predict(table)

    def explain(self, ref: str, table: object, *, data: str = "") -> GlobalExplanation:
        """Store what drives a version over some rows."""
        version = self.get(ref)
        model = self.load_digest(version.digest)
        return self._explanation.summarise(
            model.contributions(table), features=model.signature.features, subject=version.subject, data=data
        )

    def check_gate(
        self,
        challenger: str,
        rows: object,
        *,
        gate: Gate,
        time: str,
        champion: str = "",
        data: str = "",
        block: str = "",
    ) -> GateReport:
        """Hold a version against the champion on the same rows and store the report.

        Args:
            challenger: the version, `delays@v7`.
            rows: a table with the features, the target and a time column; rows without a label are not judged.
            gate: the conditions.
            time: the column with the time of a row; rows must be newer than both models' training rows.
            champion: the version it must match, `delays@champion`; empty holds it against the best constant.
            data: where the rows come from, `flights@v7`.
            block: a column naming independent groups of rows; the day of `time` when empty.
        """
        new = self.get(challenger)
        old = self.get(champion) if champion else None
        rows_of = gates.gate_rows(rows, new.signature, time=time, block=block)
        scores = gates.score_both(
            rows_of, self.load_digest(new.digest), self.load_digest(old.digest) if old else None
        )
        report = gates.decide(
            gate,
            new,
            old,
            rows_of,
            scores,
            evaluation=self._evaluation,
            data=data,
            now=self.kernel.clock.now(),
        )
        digest = self.kernel.objects.put(msgspec.json.encode(report))
        return self.record_gate(new.model, new.version, digest=digest)

    @operation(
        "POST /models/{model}/versions",
        needs="model.register",
        emits="model.registered",
        cli_reason="models are registered from Python, where the estimator is",
    )
    def create_version(
        self,
        model: str,
        *,
        digest: str,
        run: str = "",
        data: builtins.list[str] = [],  # noqa: B006 - never changed; a value for the API's document
        metrics: dict[str, float] = {},  # noqa: B006 - as above
        trained_until: datetime | None = None,
        note: str = "",
        tags: dict[str, str] = {},  # noqa: B006 - as above
    ) -> ModelVersion:
        """Name a model folder that lies in the object store.

        Args:
            model: the model's name.
            digest: digest of the folder's manifest.
            run: id of the run that made it.
            data: what it was trained on.
            metrics: figures to show beside it.
            trained_until: time of the newest row that training read.
            note: free text.
            tags: labels for search.
        """
        check_name(model)
        files = _manifest(self.kernel, digest)
        head = msgspec.json.decode(
            self.kernel.objects.get(Digest(files["everloop.json"])), type=dict[str, str | int]
        )
        signature = msgspec.json.decode(self.kernel.objects.get(Digest(files[SIGNATURE])), type=Signature)
        with self.kernel.catalog.transaction() as connection:
            number = queries.next_version(connection, model, self.kernel.clock.now())
            known = queries.version_of_digest(connection, model, digest)
            if known is not None:
                self.unchanged()
                return known
            record = ModelVersion(
                model=model,
                version=number,
                digest=digest,
                flavor=str(head["flavor"]),
                signature=signature,
                files=files,
                run=run,
                data=data,
                metrics=metrics,
                trained_until=trained_until,
                created_at=self.kernel.clock.now(),
                author=current_actor().name,
                note=note,
                tags=tags,
                updated_at=self.kernel.clock.now(),
            )
            connection.execute(tables.model_version.insert().values(queries.row_of(record)))
            self._tell_registered(connection, record)
        return record

    @operation("GET /models", needs="model.read", cli="model ls")
    def list(self, *, limit: int = 100, after: str = "") -> builtins.list[RegisteredModel]:
        """Return the models by name; `after` is the name the last page ended with."""
        found = tables.model
        query = sa.select(found).where(found.c.name > after).order_by(found.c.name).limit(limit)
        with self.kernel.catalog.read() as connection:
            return [queries.registered(connection, row) for row in connection.execute(query).all()]

    @operation("GET /models/{model}/versions", needs="model.read", cli="model versions")
    def versions(self, model: str, *, limit: int = 100, before: int = 0) -> builtins.list[ModelVersion]:
        """Return the versions of a model, newest first; `before` is the number the last page ended with."""
        found = tables.model_version
        query = sa.select(found).where(found.c.model == model, found.c.deleted_at.is_(None))
        query = query.order_by(found.c.version.desc()).limit(limit)
        if before:
            query = query.where(found.c.version < before)
        with self.kernel.catalog.read() as connection:
            return [queries.version_from(row) for row in connection.execute(query)]

    @operation("GET /models/{model}/versions/{reference}", needs="model.read", cli="model show")
    def find(self, model: str, reference: str) -> ModelVersion:
        """Return one version by `v7`, `7` or an alias such as `champion`."""
        with self.kernel.catalog.read() as connection:
            return queries.find(connection, model, reference)

    def get(self, ref: str) -> ModelVersion:
        """Return the version a name stands for: `delays@v7`, `delays@champion`; `delays` alone is the newest."""
        model, _, reference = ref.partition("@")
        return self.find(model, reference or "newest")

    @operation(
        "PUT /models/{model}/aliases/{alias}",
        needs="model.alias",
        emits="model.alias_moved",
        cli="model alias",
    )
    def set_alias(self, model: str, alias: str, *, version: int, reason: str = "") -> AliasMove:
        """Move an alias to a version; where it stands already nothing changes."""
        check_name(alias)
        with self.kernel.catalog.transaction(durable=True) as connection:
            queries.find(connection, model, str(version))
            return self._move(connection, model, alias, version, reason)

    @operation(
        "DELETE /models/{model}/aliases/{alias}",
        needs="model.alias",
        emits="model.alias_moved",
        cli="model unalias",
    )
    def drop_alias(self, model: str, alias: str, *, reason: str = "") -> AliasMove:
        """Take an alias away."""
        with self.kernel.catalog.transaction(durable=True) as connection:
            return self._move(connection, model, alias, 0, reason)

    @operation("GET /models/{model}/aliases/{alias}/history", needs="model.read", cli="model history")
    def alias_history(self, model: str, alias: str, *, limit: int = 100) -> builtins.list[AliasMove]:
        """Return the moves of an alias, newest first."""
        found = tables.model_alias_move
        query = sa.select(found).where(found.c.model == model, found.c.alias == alias)
        with self.kernel.catalog.read() as connection:
            rows = connection.execute(query.order_by(found.c.id.desc()).limit(limit)).all()
        return [AliasMove(**row._mapping) for row in rows]  # noqa: SLF001 - SQLAlchemy's public name

    @operation(
        "POST /models/{model}/versions/{version}/gates",
        needs="model.gate",
        emits="model.gated",
        cli_reason="a gate compares models on rows, in Python",
    )
    def record_gate(self, model: str, version: int, *, digest: str) -> GateReport:
        """Record a gate report that lies in the object store; recording it again changes nothing."""
        report = msgspec.json.decode(self.kernel.objects.get(Digest(digest)), type=GateReport)
        with self.kernel.catalog.transaction(durable=True) as connection:
            judged = queries.find(connection, model, str(version))
            if (report.model, report.version, report.evidence["challenger"]) != (
                model,
                version,
                judged.digest,
            ):
                raise StaleApprovalError(
                    f"the report {report.id} judged another model than {judged.ref}.", subject=judged.ref
                )
            known = sa.select(tables.gate_report.c.id).where(tables.gate_report.c.id == report.id)
            if connection.execute(known).first() is not None:
                self.unchanged()
                return report
            values = {"model": model, "version": version, "result": report.result, "digest": digest}
            connection.execute(
                tables.gate_report.insert().values(id=report.id, created_at=report.created_at, **values)
            )
            reasons = {found.name: f"{found.result}: {found.reason}" for found in report.conditions}
            self.emit(
                connection,
                subject=judged.subject,
                payload={
                    "report": digest,
                    "result": report.result,
                    "against": report.against,
                    "conditions": reasons,
                },
            )
        return report

    @operation("GET /models/{model}/versions/{version}/gates", needs="model.read", cli="model gates")
    def gate_reports(self, model: str, version: int) -> builtins.list[GateReport]:
        """Return the gate reports of a version, newest first."""
        found = tables.gate_report
        query = sa.select(found.c.digest).where(found.c.model == model, found.c.version == version)
        with self.kernel.catalog.read() as connection:
            digests = connection.execute(query.order_by(found.c.id.desc())).scalars().all()
        return [msgspec.json.decode(self.kernel.objects.get(Digest(d)), type=GateReport) for d in digests]

    @operation(
        "POST /models/{model}/versions/{version}/approvals",
        needs="model.approve",
        emits="model.approved",
        cli="model approve",
    )
    def approve(self, model: str, version: int, *, gate_report: str = "", comment: str = "") -> Approval:
        """Record the caller's approval, bound to the model's digest and to the gate report.

        Whoever registered a version cannot approve it, except an admin: a home of one person has nobody else.

        Args:
            model: the model's name.
            version: its version.
            gate_report: id of the report that was looked at; the newest when empty.
            comment: why.

        Raises:
            OwnApprovalError: the caller registered the version.
        """
        actor = current_actor()
        with self.kernel.catalog.transaction(durable=True) as connection:
            judged = queries.find(connection, model, str(version))
            if actor.name == judged.author and actor.name.startswith("user:") and "admin" not in actor.roles:
                raise OwnApprovalError(
                    f"{actor.name} registered {judged.ref} and cannot approve it. Ask another person who may approve models.",
                    subject=judged.subject,
                )
            digest = queries.gate_digest(connection, judged, gate_report)
            record = Approval(
                id=new_id(),
                model=model,
                version=version,
                digest=judged.digest,
                gate_report=digest,
                actor=actor.name,
                comment=comment,
                approved_at=self.kernel.clock.now(),
            )
            connection.execute(tables.model_approval.insert().values(msgspec.structs.asdict(record)))
            payload = {"digest": judged.digest, "gate_report": digest, "comment": comment}
            self.emit(connection, subject=judged.subject, payload=payload)
        return record

    @operation("GET /models/{model}/versions/{version}/approvals", needs="model.read", cli="model approvals")
    def approvals(self, model: str, version: int) -> builtins.list[Approval]:
        """Return the approvals of a version that still hold: those of its newest gate report."""
        found = tables.model_approval
        query = (
            sa.select(found).where(found.c.model == model, found.c.version == version).order_by(found.c.id)
        )
        with self.kernel.catalog.read() as connection:
            judged = queries.find(connection, model, str(version))
            newest = queries.gate_digest(connection, judged, "")
            rows = connection.execute(query).all()
        kept = [Approval(**row._mapping) for row in rows]  # noqa: SLF001 - SQLAlchemy's public name
        return [a for a in kept if a.digest == judged.digest and a.gate_report == newest]

    def _tell_registered(self, connection: sa.Connection, record: ModelVersion) -> None:
        payload = {"digest": record.digest, "flavor": record.flavor, "run": record.run, "data": record.data}
        event = self.emit(connection, subject=record.subject, payload=payload)
        sources = [f"dataset:{ref}" for ref in record.data] + ([f"run:{record.run}"] if record.run else [])
        for source in sources:
            verb = "made" if source.startswith("run:") else "trained"
            self.kernel.events.link(connection, source=source, verb=verb, target=record.subject, event=event)

    def _move(
        self, connection: sa.Connection, model: str, alias: str, version: int, reason: str
    ) -> AliasMove:
        stand = tables.model_alias
        where = sa.and_(stand.c.model == model, stand.c.alias == alias)
        previous = connection.execute(sa.select(stand.c.version).where(where).with_for_update()).scalar() or 0
        move = AliasMove(
            id=new_id(),
            model=model,
            alias=alias,
            version=version,
            previous=previous,
            moved_at=self.kernel.clock.now(),
            actor=current_actor().name,
            reason=reason,
        )
        if previous == version:
            self.unchanged()
            return move
        connection.execute(sa.delete(stand).where(where))
        if version:
            connection.execute(stand.insert().values(model=model, alias=alias, version=version))
        connection.execute(tables.model_alias_move.insert().values(msgspec.structs.asdict(move)))
        payload = {"alias": alias, "version": version, "previous": previous, "reason": reason}
        self.emit(connection, subject=f"model:{model}@v{version or previous}", payload=payload)
        return move


def load_model(kernel: Kernel, digest: str) -> Model:
    """Return the model whose manifest has this digest."""
    files = _manifest(kernel, digest)
    return Model.from_files({path: kernel.objects.get(Digest(name)) for path, name in files.items()})


def _manifest(kernel: Kernel, digest: str) -> dict[str, str]:
    content = kernel.objects.get(Digest(digest))
    try:
        files = msgspec.json.decode(content, type=dict[str, str])
    except msgspec.DecodeError:
        files = {}
    if digest_bytes(content) != digest or not {"everloop.json", SIGNATURE} <= set(files):
        raise InvalidInputError(
            f"the object {digest} is no model's manifest. Register models with `registry.register`."
        )
    return files
