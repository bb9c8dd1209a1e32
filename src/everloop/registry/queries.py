"""Queries of the registry, all in a connection that the caller opened. Tests: tests/unit/registry/test_service.py."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec
import sqlalchemy as sa

from everloop.registry import tables
from everloop.registry.naming import VERSION, ModelNotFoundError
from everloop.registry.records import ModelVersion, RegisteredModel

if TYPE_CHECKING:
    from datetime import datetime


def next_version(connection: sa.Connection, model: str, now: datetime) -> int:
    """Return the number of a model's next version, and make the model when it is missing; its row is locked."""
    row = sa.select(tables.model.c.name).where(tables.model.c.name == model).with_for_update()
    if connection.execute(row).first() is None:
        from sqlalchemy.dialects import postgresql, sqlite

        build = sqlite.insert if connection.dialect.name == "sqlite" else postgresql.insert
        connection.execute(
            build(tables.model)
            .values(name=model, created_at=now, updated_at=now, note="", tags={})
            .on_conflict_do_nothing()
        )
        connection.execute(row)
    highest = sa.select(sa.func.max(tables.model_version.c.version)).where(
        tables.model_version.c.model == model
    )
    return (connection.execute(highest).scalar() or 0) + 1


def version_of_digest(connection: sa.Connection, model: str, digest: str) -> ModelVersion | None:
    """Return the first version with this content; None when there is none."""
    found = tables.model_version
    query = (
        sa.select(found)
        .where(found.c.model == model, found.c.digest == digest, found.c.deleted_at.is_(None))
        .order_by(found.c.version)
        .limit(1)
    )
    row = connection.execute(query).first()
    return version_from(row) if row else None


def find(connection: sa.Connection, model: str, reference: str) -> ModelVersion:
    """Return one version by `v7`, `7`, an alias, or `newest`.

    Raises:
        ModelNotFoundError: there is none.
    """
    found = tables.model_version
    query = sa.select(found).where(found.c.model == model, found.c.deleted_at.is_(None))
    query = query.order_by(found.c.version.desc()).limit(1)
    if reference != "newest":
        number = VERSION.fullmatch(reference)
        wanted = int(number[1]) if number else int(reference) if reference.isdecimal() else 0
        if not wanted:
            stand = tables.model_alias
            alias = sa.select(stand.c.version).where(stand.c.model == model, stand.c.alias == reference)
            wanted = connection.execute(alias).scalar() or 0
        query = query.where(found.c.version == wanted)
    row = connection.execute(query).first()
    if row is None:
        raise ModelNotFoundError(
            f"there is no model {model}@{reference}; `everloop model versions {model}` lists what there is.",
            subject=f"model:{model}@{reference}",
        )
    return version_from(row)


def gate_digest(connection: sa.Connection, judged: ModelVersion, report: str) -> str:
    """Return the digest of a gate report of a version, the newest by default; empty when there is none.

    Raises:
        ModelNotFoundError: the version has no such report.
    """
    found = tables.gate_report
    query = sa.select(found.c.digest).where(found.c.model == judged.model, found.c.version == judged.version)
    if report:
        query = query.where(found.c.id == report)
    digest = connection.execute(query.order_by(found.c.id.desc()).limit(1)).scalar()
    if digest is None and report:
        raise ModelNotFoundError(f"{judged.ref} has no gate report {report}.", subject=judged.subject)
    return digest or ""


def registered(connection: sa.Connection, row: sa.Row[Any]) -> RegisteredModel:
    """Return a model with the number of its newest version and its aliases."""
    highest = sa.select(sa.func.max(tables.model_version.c.version)).where(
        tables.model_version.c.model == row.name, tables.model_version.c.deleted_at.is_(None)
    )
    stands = sa.select(tables.model_alias).where(tables.model_alias.c.model == row.name)
    aliases = {stand.alias: stand.version for stand in connection.execute(stands)}
    versions = connection.execute(highest).scalar() or 0
    return RegisteredModel(
        name=row.name,
        created_at=row.created_at,
        updated_at=row.updated_at,
        versions=versions,
        aliases=aliases,
        note=row.note,
        tags=row.tags,
    )


def row_of(record: ModelVersion) -> dict[str, object]:
    """Return a version as a row."""
    return msgspec.structs.asdict(record)


def version_from(row: sa.Row[tuple[object, ...]]) -> ModelVersion:
    """Return a row as a version."""
    return ModelVersion(**row._mapping)  # noqa: SLF001 - SQLAlchemy's public name
