"""Reading and writing the rows of datasets. Tests: tests/unit/data/test_service.py."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec
import sqlalchemy as sa

from everloop.core.errors import NotFoundError
from everloop.data.records import Dataset, DatasetVersion, Ref
from everloop.data.tables import dataset, dataset_ref, dataset_ref_move, dataset_trash, dataset_version
from everloop.kernel.events.tables import lineage

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from datetime import datetime

    from everloop.data.rules import Reference


class DatasetNotFoundError(NotFoundError):
    """No dataset has this name."""

    code = "data.dataset-not-found"


class VersionNotFoundError(NotFoundError):
    """The dataset has no such version, or had none at that moment."""

    code = "data.version-not-found"


class RefNotFoundError(NotFoundError):
    """The dataset has no branch or tag of this name."""

    code = "data.ref-not-found"


class SeveralVersionsError(NotFoundError):
    """A run read several versions of a dataset, so that it names none of them."""

    code = "data.several-versions"


class TrashedError(NotFoundError):
    """A dataset or version is in the trash; it can be brought back."""

    code = "data.trashed"
    status = 410


class PurgedError(NotFoundError):
    """A dataset or version was deleted and its time in the trash has passed; its rows are gone."""

    code = "data.purged"
    status = 410


def find_row(connection: sa.Connection, reference: Reference, as_of: datetime | None) -> sa.Row[Any]:
    """Return the row of the version that a reference names, as the world was at `as_of`.

    Raises:
        DatasetNotFoundError: no dataset has the name.
        VersionNotFoundError: there is no such version, or it came later than `as_of`.
        RefNotFoundError: there is no such branch or tag.
        SeveralVersionsError: a run added none and read several.
        TrashedError, PurgedError: it was deleted.
    """
    refuse_gone(connection, reference.dataset)
    moments = [moment for moment in (reference.moment, as_of) if moment is not None]
    moment = min(moments) if moments else None
    version = _number(connection, reference, moment)
    row = _row(connection, reference.dataset, version, moment) if version else None
    for _ in range(reference.back):
        if row is not None:
            row = _row(connection, reference.dataset, row.parent, moment)
    if row is not None:
        refuse_gone(connection, reference.dataset, row.version)
        return row
    raise _missing(connection, reference, moment)


def refuse_gone(connection: sa.Connection, name: str, version: int = 0) -> None:
    """Refuse a version that was deleted, or with 0 a dataset.

    Raises:
        TrashedError, PurgedError: as named.
    """
    table = dataset_trash
    row = connection.execute(
        sa.select(table).where(table.c.dataset == name, table.c.version == version)
    ).first()
    if row is None:
        return
    what, ref = (
        (f"version {version} of dataset {name}", f"{name}@v{version}")
        if version
        else (f"dataset {name}", name)
    )
    if row.purged_at is not None:
        raise PurgedError(
            f"{what} was deleted by {row.trashed_by} and purged on {row.purged_at:%Y-%m-%d}; only its history is left. Add "
            "its rows under another name, or pull a branch or tag that still holds it from a remote.",
            subject=f"dataset:{ref}",
        )
    raise TrashedError(
        f"{what} was deleted by {row.trashed_by} and can be brought back until {row.until:%Y-%m-%d %H:%M} UTC: `everloop data restore "
        f"{ref}`.",
        subject=f"dataset:{ref}",
        details={"until": row.until.isoformat()},
    )


def gone_numbers(connection: sa.Connection, name: str) -> set[int]:
    """Return the numbers of the versions that were deleted, each by itself."""
    table = dataset_trash
    return set(connection.execute(sa.select(table.c.version).where(table.c.dataset == name)).scalars())


def purged_numbers(connection: sa.Connection, name: str) -> set[int]:
    """Return the numbers of the versions whose rows are gone."""
    table = dataset_trash
    query = sa.select(table.c.version).where(table.c.dataset == name, table.c.purged_at.is_not(None))
    return set(connection.execute(query).scalars())


def kept_row(connection: sa.Connection, name: str, version: int) -> sa.Row[Any]:
    """Return the row of a version, deleted or not, that is known to be there."""
    table = dataset_version
    return connection.execute(
        sa.select(table).where(table.c.dataset == name, table.c.version == version)
    ).one()


def _number(connection: sa.Connection, reference: Reference, moment: datetime | None) -> int:
    """Return the number a reference names before going back, 0 when there is none."""
    if reference.version:
        return reference.version
    if reference.run:
        table = dataset_version
        query = sa.select(sa.func.max(table.c.version)).where(
            table.c.dataset == reference.dataset, table.c.run == reference.run
        )
        return int(connection.execute(query).scalar() or 0) or _read_by(connection, reference)
    if moment is None:
        return head_number(connection, reference.dataset, reference.ref)
    move = dataset_ref_move
    query = sa.select(move.c.version).where(
        move.c.dataset == reference.dataset, move.c.name == reference.ref, move.c.moved_at <= moment
    )
    return int(connection.execute(query.order_by(move.c.number.desc()).limit(1)).scalar() or 0)


def _read_by(connection: sa.Connection, reference: Reference) -> int:
    """Return the number of the version that a run read, 0 when there is none."""
    # A range, so that the index answers it; `v` is followed by digits.
    low, high = f"dataset:{reference.dataset}@v", f"dataset:{reference.dataset}@w"
    edge = lineage.c
    query = sa.select(edge.source).where(
        edge.target == f"run:{reference.run}", edge.verb == "read", edge.source >= low, edge.source < high
    )
    texts = [source.removeprefix(low) for source in connection.execute(query).scalars()]
    numbers = sorted(int(text) for text in texts if text.isdecimal())
    if len(numbers) > 1:
        versions = ", ".join(f"v{number}" for number in numbers)
        raise SeveralVersionsError(
            f"run {reference.run} read several versions of dataset {reference.dataset}: {versions}. Name one of them, "
            f"{reference.dataset}@v{numbers[-1]}.",
            subject=f"dataset:{reference.dataset}",
        )
    return numbers[0] if numbers else 0


def _row(connection: sa.Connection, name: str, version: int, moment: datetime | None) -> sa.Row[Any] | None:
    table = dataset_version
    query = sa.select(table).where(table.c.dataset == name, table.c.version == version)
    if moment is not None:
        query = query.where(table.c.created_at <= moment)
    return connection.execute(query).first()


def head_number(connection: sa.Connection, name: str, ref: str) -> int:
    """Return the number of the version a branch or tag stands at, 0 when there is none."""
    query = sa.select(dataset_ref.c.version).where(dataset_ref.c.dataset == name, dataset_ref.c.name == ref)
    return connection.execute(query).scalar() or 0


def ancestors(connection: sa.Connection, name: str, version: int) -> Iterator[int]:
    """Yield a version and all it came from, newest first; a version's number is higher than its parents'."""
    table = dataset_version
    waiting = {version}
    while waiting:
        number = max(waiting)
        waiting.remove(number)
        yield number
        query = sa.select(table.c.parent, table.c.merged).where(
            table.c.dataset == name, table.c.version == number
        )
        row = connection.execute(query).first()
        waiting |= {parent for parent in (row or ()) if parent}


def commits_of(connection: sa.Connection, name: str, numbers: Sequence[int]) -> list[str]:
    """Return the commits of versions, without those numbered 0."""
    table = dataset_version
    query = sa.select(table.c.version, table.c.commit).where(
        table.c.dataset == name, table.c.version.in_(numbers)
    )
    found = {row.version: row.commit for row in connection.execute(query)}
    return [found[number] for number in numbers if number]


def number_of(connection: sa.Connection, name: str, commit: str) -> int:
    """Return the number of the version with this commit, 0 when there is none."""
    table = dataset_version
    query = sa.select(table.c.version).where(table.c.dataset == name, table.c.commit == commit).limit(1)
    return connection.execute(query).scalar() or 0


def merge_base(connection: sa.Connection, name: str, one: int, other: int) -> int:
    """Return the newest version that both came from, 0 when there is none."""
    seen = [set[int](), set[int]()]
    walks = [ancestors(connection, name, one), ancestors(connection, name, other)]
    heads = [next(walk, 0) for walk in walks]
    while any(heads):
        side = 0 if heads[0] >= heads[1] else 1
        if heads[side] in seen[1 - side] or heads[0] == heads[1]:
            return heads[side]
        seen[side].add(heads[side])
        heads[side] = next(walks[side], 0)
    return 0


def list_refs(connection: sa.Connection, name: str) -> list[Ref]:
    """Return the branches and tags of a dataset by name."""
    query = sa.select(dataset_ref).where(dataset_ref.c.dataset == name).order_by(dataset_ref.c.name)
    return [_ref_of(row) for row in connection.execute(query)]


def find_ref(connection: sa.Connection, name: str, ref: str) -> Ref | None:
    """Return a branch or tag, None when there is none."""
    query = sa.select(dataset_ref).where(dataset_ref.c.dataset == name, dataset_ref.c.name == ref)
    row = connection.execute(query).first()
    return None if row is None else _ref_of(row)


def set_ref(connection: sa.Connection, ref: Ref) -> None:
    """Make a ref, or move it, and note the move. The caller holds the dataset's row."""
    at = sa.and_(dataset_ref.c.dataset == ref.dataset, dataset_ref.c.name == ref.name)
    known = connection.execute(sa.select(dataset_ref.c.moves).where(at)).scalar()
    moves = (_moves_before(connection, ref) if known is None else int(known)) + 1
    values = {**msgspec.structs.asdict(ref), "moves": moves}
    statement = dataset_ref.insert() if known is None else sa.update(dataset_ref).where(at)
    connection.execute(statement.values(values))
    move = {"dataset": ref.dataset, "name": ref.name, "number": moves, "version": ref.version}
    connection.execute(dataset_ref_move.insert().values(**move, moved_at=ref.moved_at))


def drop_ref(connection: sa.Connection, name: str, ref: str) -> None:
    """Remove a branch or tag; its moves stay. The caller holds the dataset's row."""
    connection.execute(sa.delete(dataset_ref).where(dataset_ref.c.dataset == name, dataset_ref.c.name == ref))


def _moves_before(connection: sa.Connection, ref: Ref) -> int:
    """Return how often a ref of this name moved before it was removed."""
    move = dataset_ref_move
    query = sa.select(sa.func.max(move.c.number)).where(
        move.c.dataset == ref.dataset, move.c.name == ref.name
    )
    return int(connection.execute(query).scalar() or 0)


def _ref_of(row: sa.Row[Any]) -> Ref:
    return Ref(
        dataset=row.dataset,
        name=row.name,
        kind=row.kind,
        version=row.version,
        moved_at=row.moved_at,
        moved_by=row.moved_by,
    )


def latest_number(connection: sa.Connection, name: str, *, lock: bool = False) -> int:
    """Return the number of the latest version, 0 for a dataset that does not exist.

    Raises:
        TrashedError, PurgedError: the dataset was deleted; its name is not given again, because lineage names it.
    """
    refuse_gone(connection, name)
    query = sa.select(dataset.c.latest).where(dataset.c.name == name)
    return connection.execute(query.with_for_update() if lock else query).scalar() or 0


def list_datasets(connection: sa.Connection, *, after: str, limit: int) -> list[Dataset]:
    """Return datasets by name."""
    is_gone = sa.exists().where(dataset_trash.c.dataset == dataset.c.name, dataset_trash.c.version == 0)
    query = sa.select(dataset).where(dataset.c.name > after, ~is_gone).order_by(dataset.c.name).limit(limit)
    return [_dataset_of(row) for row in connection.execute(query)]


def find_dataset(connection: sa.Connection, name: str) -> Dataset:
    """Return a dataset.

    Raises:
        DatasetNotFoundError, TrashedError, PurgedError: as named.
    """
    refuse_gone(connection, name)
    row = connection.execute(sa.select(dataset).where(dataset.c.name == name)).first()
    if row is None:
        raise _no_dataset(name)
    return _dataset_of(row)


def _dataset_of(row: sa.Row[Any]) -> Dataset:
    return Dataset(
        name=row.name, latest=row.latest, created_at=row.created_at, shape=row.shape, suite=row.suite
    )


def list_versions(
    connection: sa.Connection, name: str, *, before: int, limit: int
) -> Sequence[DatasetVersion]:
    """Return versions that were not deleted, newest first; `before` is 0 for the newest page."""
    table, trash = dataset_version, dataset_trash
    is_gone = sa.exists().where(trash.c.dataset == table.c.dataset, trash.c.version == table.c.version)
    query = sa.select(table).where(table.c.dataset == name, ~is_gone)
    query = query.order_by(table.c.version.desc()).limit(limit)
    if before:
        query = query.where(table.c.version < before)
    return [version_of(row) for row in connection.execute(query)]


def version_of(row: sa.Row[Any]) -> DatasetVersion:
    """Return the record of a row."""
    return DatasetVersion(**row._mapping)  # noqa: SLF001 - SQLAlchemy's own name of the mapping


def insert_version(connection: sa.Connection, version: DatasetVersion) -> None:
    """Write a version and count it in its dataset."""
    if version.version == 1:
        first = {
            "name": version.dataset,
            "latest": 1,
            "created_at": version.created_at,
            "shape": version.shape,
        }
        connection.execute(dataset.insert().values(first))
    else:
        moved = sa.update(dataset).where(dataset.c.name == version.dataset).values(latest=version.version)
        connection.execute(moved)
    values = msgspec.structs.asdict(version)
    del values["is_unchanged"]
    connection.execute(dataset_version.insert().values(values))


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
    if (
        not reference.version
        and not reference.run
        and not head_number(connection, reference.dataset, reference.ref)
    ):
        there = ", ".join(ref.name for ref in list_refs(connection, reference.dataset)) or "none"
        return RefNotFoundError(
            f"dataset {reference.dataset} has no branch or tag {reference.ref}; there are: {there}. "
            f"`everloop data branch {reference.dataset} {reference.ref}` makes one.",
            subject=subject,
        )
    if reference.run:
        return VersionNotFoundError(
            f"run {reference.run} neither added nor read a version of dataset {reference.dataset}. `everloop data versions "
            f"{reference.dataset}` shows which run added each.",
            subject=subject,
        )
    if reference.back:
        return VersionNotFoundError(
            f"dataset {reference.dataset} has no version {reference.back} before that one; its history is shorter.",
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
