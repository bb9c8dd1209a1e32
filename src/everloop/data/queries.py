"""Reading and writing the rows of datasets. Tests: tests/unit/data/test_service.py."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import sqlalchemy as sa

from everloop.core.errors import NotFoundError
from everloop.data.records import Dataset, DatasetVersion, TableReference
from everloop.data.tables import dataset, dataset_version

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from everloop.data.rules import Reference


class DatasetNotFoundError(NotFoundError):
    """No dataset has this name."""

    code = "data.dataset-not-found"


class VersionNotFoundError(NotFoundError):
    """The dataset has no such version, or had none at that moment."""

    code = "data.version-not-found"


def find_row(connection: sa.Connection, reference: Reference, as_of: datetime | None) -> sa.Row[Any]:
    """Return the row of the version that a reference names, as the world was at `as_of`.

    Raises:
        DatasetNotFoundError: no dataset has the name.
        VersionNotFoundError: there is no such version, or it came later than `as_of`.
    """
    table = dataset_version
    query = sa.select(table).where(table.c.dataset == reference.dataset)
    if reference.version:
        query = query.where(table.c.version == reference.version)
    moments = [moment for moment in (reference.moment, as_of) if moment is not None]
    if moments:
        query = query.where(table.c.created_at <= min(moments))
    row = connection.execute(query.order_by(table.c.version.desc()).limit(1)).first()
    if row is not None:
        return row
    raise _missing(connection, reference, min(moments) if moments else None)


def latest_number(connection: sa.Connection, name: str, *, lock: bool = False) -> int:
    """Return the number of the latest version, 0 for a dataset that does not exist."""
    query = sa.select(dataset.c.latest).where(dataset.c.name == name)
    return connection.execute(query.with_for_update() if lock else query).scalar() or 0


def list_datasets(connection: sa.Connection, *, after: str, limit: int) -> list[Dataset]:
    """Return datasets by name."""
    query = sa.select(dataset).where(dataset.c.name > after).order_by(dataset.c.name).limit(limit)
    return [
        Dataset(name=row.name, latest=row.latest, created_at=row.created_at)
        for row in connection.execute(query)
    ]


def find_dataset(connection: sa.Connection, name: str) -> Dataset:
    """Return a dataset.

    Raises:
        DatasetNotFoundError: as named.
    """
    row = connection.execute(sa.select(dataset).where(dataset.c.name == name)).first()
    if row is None:
        raise _no_dataset(name)
    return Dataset(name=row.name, latest=row.latest, created_at=row.created_at)


def list_versions(
    connection: sa.Connection, name: str, *, before: int, limit: int
) -> Sequence[DatasetVersion]:
    """Return versions, newest first; `before` is 0 for the newest page."""
    table = dataset_version
    query = sa.select(table).where(table.c.dataset == name).order_by(table.c.version.desc()).limit(limit)
    if before:
        query = query.where(table.c.version < before)
    return [version_of(row) for row in connection.execute(query)]


def version_of(row: sa.Row[Any]) -> DatasetVersion:
    """Return the record of a row."""
    return DatasetVersion(
        dataset=row.dataset,
        version=row.version,
        digest=row.digest,
        rows=row.row_count,
        size_bytes=row.size_bytes,
        columns=row.columns,
        parent=row.parent,
        message=row.message,
        event_time=row.event_time,
        created_at=row.created_at,
        created_by=row.created_by,
        suite=row.suite,
        quarantine=row.quarantine,
    )


def content_of(row: sa.Row[Any]) -> TableReference:
    """Return the stored table of a row."""
    return TableReference(
        name=f"{row.dataset}@v{row.version}",
        digest=row.digest,
        columns=row.columns,
        parts=row.parts,
        chunks=row.chunks,
    )


def insert_version(connection: sa.Connection, version: DatasetVersion, content: TableReference) -> None:
    """Write a version and make it the latest of its dataset."""
    if version.version == 1:
        first = {"name": version.dataset, "latest": 1, "created_at": version.created_at}
        connection.execute(dataset.insert().values(first))
    else:
        moved = sa.update(dataset).where(dataset.c.name == version.dataset).values(latest=version.version)
        connection.execute(moved)
    connection.execute(
        dataset_version.insert().values(
            dataset=version.dataset,
            version=version.version,
            digest=version.digest,
            row_count=version.rows,
            size_bytes=version.size_bytes,
            columns=version.columns,
            parts=content.parts,
            chunks=content.chunks,
            parent=version.parent,
            message=version.message,
            event_time=version.event_time,
            created_at=version.created_at,
            created_by=version.created_by,
            suite=version.suite,
            quarantine=version.quarantine,
        )
    )


def _missing(connection: sa.Connection, reference: Reference, moment: datetime | None) -> NotFoundError:
    latest = latest_number(connection, reference.dataset)
    if not latest:
        return _no_dataset(reference.dataset)
    subject = f"dataset:{reference.dataset}"
    if moment is not None:
        asked = f"version {reference.version}" if reference.version else "a version"
        return VersionNotFoundError(
            f"dataset {reference.dataset} did not have {asked} at {moment:%Y-%m-%d %H:%M} UTC. "
            f"`everloop data versions {reference.dataset}` lists when each was added.",
            subject=subject,
        )
    return VersionNotFoundError(
        f"dataset {reference.dataset} has no version {reference.version}; its latest is {latest}. "
        f"`everloop data versions {reference.dataset}` lists them.",
        subject=subject,
    )


def _no_dataset(name: str) -> DatasetNotFoundError:
    return DatasetNotFoundError(
        f"there is no dataset {name}. `everloop data ls` lists those there are, `everloop data add {name} FILE` makes one.",
        subject=f"dataset:{name}",
    )
