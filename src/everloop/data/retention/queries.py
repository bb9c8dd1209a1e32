"""Reading and writing the trash, rules and quotas, and finding out who reaches a version.

Tests: tests/unit/data/retention.
"""

from __future__ import annotations

from collections import defaultdict
from itertools import combinations
from typing import TYPE_CHECKING, Any

import msgspec
import sqlalchemy as sa

from everloop.data.features.tables import feature_online, feature_view
from everloop.data.personal.tables import masked_part, personal_report
from everloop.data.records import DatasetVersion
from everloop.data.retention.records import Quota, RetentionRule, TrashedVersion, Version
from everloop.data.retention.tables import dataset_carried, dataset_quota, dataset_retention
from everloop.data.tables import (
    dataset,
    dataset_check,
    dataset_ref,
    dataset_trash,
    dataset_version,
    part_statistics,
)
from everloop.kernel.events.tables import lineage

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence
    from datetime import datetime

EVERY = "*"
# Lineage between datasets, and to a feature view that has moved on, needs no rows of the past.
_PASSING = ("dataset:", "feature-view:")


def reached(connection: sa.Connection, name: str, *, refs: bool = True) -> dict[int, list[str]]:
    """Return who reaches which version of a dataset, by number.

    Args:
        connection: an open connection.
        name: of the dataset.
        refs: count its own branches and tags, too.
    """
    found: defaultdict[int, list[str]] = defaultdict(list)
    if refs:
        query = sa.select(dataset_ref).where(dataset_ref.c.dataset == name).order_by(dataset_ref.c.name)
        heads = []
        for row in connection.execute(query):
            found[row.version].append(f"{row.kind} {row.name}")
            if row.kind == "branch":
                heads.append((row.name, row.version))
        for base, why in _merge_bases(connection, name, heads):
            found[base].append(why)
    for source, other in [*_edges(connection, name), *_features(connection)]:
        dataset_name, _, number = source.removeprefix("dataset:").partition("@v")
        if dataset_name == name and number.isdecimal() and not other.startswith(_PASSING):
            found[int(number)].append(other)
    return dict(found)


def _merge_bases(
    connection: sa.Connection, name: str, heads: Sequence[tuple[str, int]]
) -> Iterator[tuple[int, str]]:
    """Yield what each two branches both came from; without it they cannot be merged."""
    if len(heads) < 2:  # noqa: PLR2004 - a pair
        return
    table = dataset_version
    query = sa.select(table.c.version, table.c.parent, table.c.merged).where(table.c.dataset == name)
    parents = {row.version: (row.parent, row.merged) for row in connection.execute(query)}
    lines = [(branch, head, _line(head, parents)) for branch, head in heads]
    for (one, head, line), (other, other_head, other_line) in combinations(lines, 2):
        base = max(line & other_line, default=0)
        if base not in {0, head, other_head}:
            yield base, f"where branches {one} and {other} part"


def _line(head: int, parents: Mapping[int, tuple[int, int]]) -> set[int]:
    found: set[int] = set()
    waiting = [head]
    while waiting:
        number = waiting.pop()
        if number and number not in found:
            found.add(number)
            waiting += parents.get(number, ())
    return found


def _edges(connection: sa.Connection, name: str) -> list[tuple[str, str]]:
    """Return edges from or to a version of a dataset as (dataset, other)."""
    # A range, so that the index answers it; `v` is followed by digits.
    low, high = f"dataset:{name}@v", f"dataset:{name}@w"
    found: list[tuple[str, str]] = []
    for here, other in ((lineage.c.source, lineage.c.target), (lineage.c.target, lineage.c.source)):
        query = sa.select(here, other).where(here >= low, here < high).order_by(other)
        found += [(row[0], row[1]) for row in connection.execute(query)]
    return found


def _features(connection: sa.Connection) -> list[tuple[str, str]]:
    """Return the versions that feature views stand on: what is looked up online, and sources named by number."""
    table = feature_online
    found = [
        (row.source, f"online features {row.name}@v{row.version}")
        for row in connection.execute(sa.select(table.c.source, table.c.name, table.c.version))
    ]
    view = feature_view
    for row in connection.execute(sa.select(view.c.name, view.c.version, view.c.definition)):
        source = msgspec.json.decode(row.definition).get("source", "")
        found.append((source, f"features {row.name}@v{row.version}"))
    return found


def live_versions(connection: sa.Connection, name: str) -> list[DatasetVersion]:
    """Return the versions of a dataset that were not deleted, oldest first."""
    return [DatasetVersion(**row._mapping) for row in connection.execute(_live(name))]  # noqa: SLF001 - SQLAlchemy's public name


def facts_of(version: DatasetVersion) -> Version:
    """Return a version as far as a rule looks at it."""
    return Version(
        number=version.version,
        branch=version.branch,
        created_at=version.created_at,
        is_of_run=bool(version.run),
    )


def _live(name: str) -> sa.Select[Any]:
    table, trash = dataset_version, dataset_trash
    is_gone = sa.exists().where(trash.c.dataset == table.c.dataset, trash.c.version == table.c.version)
    return sa.select(table).where(table.c.dataset == name, ~is_gone).order_by(table.c.version)


def unpurged_versions(connection: sa.Connection, name: str = "") -> list[sa.Row[Any]]:
    """Return the versions whose rows are there, of one dataset or of all, deleted or not."""
    table, trash = dataset_version, dataset_trash
    is_purged = sa.exists().where(
        trash.c.dataset == table.c.dataset, trash.c.version == table.c.version, trash.c.purged_at.is_not(None)
    )
    query = sa.select(table).where(~is_purged)
    return list(connection.execute(query.where(table.c.dataset == name) if name else query))


def dataset_names(connection: sa.Connection) -> list[str]:
    """Return the names of all datasets, deleted ones included."""
    return list(connection.execute(sa.select(dataset.c.name).order_by(dataset.c.name)).scalars())


def hold(connection: sa.Connection, name: str) -> None:
    """Hold a dataset's row until the transaction ends, deleted or not."""
    connection.execute(sa.select(dataset.c.name).where(dataset.c.name == name).with_for_update())


def put_into_trash(connection: sa.Connection, values: Mapping[str, Any]) -> TrashedVersion:
    """Note that a version, or with number 0 a dataset, was deleted."""
    connection.execute(dataset_trash.insert().values({"purged_at": None, **values}))
    ref = f"{values['dataset']}@v{values['version']}" if values["version"] else values["dataset"]
    told = {name: values[name] for name in ("trashed_at", "trashed_by", "until", "reason")}
    return TrashedVersion(ref=ref, **told)


def find_trash(connection: sa.Connection, name: str, version: int) -> sa.Row[Any] | None:
    """Return the row of a deleted version or dataset that was not purged."""
    table = dataset_trash
    query = sa.select(table).where(
        table.c.dataset == name, table.c.version == version, table.c.purged_at.is_(None)
    )
    return connection.execute(query).first()


def list_trash(connection: sa.Connection, *, until: datetime | None = None) -> list[sa.Row[Any]]:
    """Return what is in the trash, oldest first; with `until` only what may stay no longer at that moment."""
    table = dataset_trash
    query = sa.select(table).where(table.c.purged_at.is_(None))
    if until is not None:
        query = query.where(table.c.until <= until)
    return list(connection.execute(query.order_by(table.c.trashed_at, table.c.dataset, table.c.version)))


def take_out(connection: sa.Connection, name: str, version: int) -> None:
    """Forget that a version or dataset was deleted."""
    table = dataset_trash
    connection.execute(sa.delete(table).where(table.c.dataset == name, table.c.version == version))


def note_purged(connection: sa.Connection, row: sa.Row[Any], version: int, *, now: datetime) -> None:
    """Note that a version was purged, as part of the deletion that `row` tells of."""
    at = sa.and_(dataset_trash.c.dataset == row.dataset, dataset_trash.c.version == version)
    if connection.execute(sa.update(dataset_trash).where(at).values(purged_at=now)).rowcount:
        return
    values = {**row._mapping, "version": version, "purged_at": now}  # noqa: SLF001 - SQLAlchemy's public name
    connection.execute(dataset_trash.insert().values(values))


def drop_checks(connection: sa.Connection, name: str, versions: Iterable[int]) -> None:
    """Remove the results of checks of versions; they hold samples."""
    table = dataset_check
    connection.execute(sa.delete(table).where(table.c.dataset == name, table.c.version.in_(list(versions))))


def drop_refs(connection: sa.Connection, name: str) -> None:
    """Remove every branch and tag of a dataset."""
    connection.execute(sa.delete(dataset_ref).where(dataset_ref.c.dataset == name))


def drop_values(connection: sa.Connection, *, parts: Iterable[str], digests: Iterable[str]) -> None:
    """Remove what the catalog holds of the values of parts, and the reports of personal data on contents."""
    for part in sorted(parts):
        connection.execute(sa.delete(part_statistics).where(part_statistics.c.part == part))
        connection.execute(sa.delete(masked_part).where(masked_part.c.part == part))
    for digest in sorted(digests):
        connection.execute(sa.delete(personal_report).where(personal_report.c.digest == digest))


def trashed(row: sa.Row[Any]) -> TrashedVersion:
    """Return the record of a row."""
    return TrashedVersion(
        ref=f"{row.dataset}@v{row.version}" if row.version else row.dataset,
        trashed_at=row.trashed_at,
        trashed_by=row.trashed_by,
        until=row.until,
        reason=row.reason,
    )


def find_rule(connection: sa.Connection, name: str) -> RetentionRule:
    """Return the rule in force for a dataset: its own, else that of `*`, else one that keeps all."""
    table = dataset_retention
    query = sa.select(table).where(table.c.dataset.in_([name, EVERY]))
    rules = {row.dataset: row.rule for row in connection.execute(query)}
    found: RetentionRule = rules.get(name) or rules.get(EVERY) or RetentionRule()
    return found


def set_rule(connection: sa.Connection, name: str, rule: RetentionRule) -> None:
    """Set the rule of a dataset."""
    connection.execute(sa.delete(dataset_retention).where(dataset_retention.c.dataset == name))
    connection.execute(dataset_retention.insert().values(dataset=name, rule=rule))


def find_quota(connection: sa.Connection, name: str) -> Quota:
    """Return the quota of a dataset, or with `*` of all together."""
    query = sa.select(dataset_quota.c.quota).where(dataset_quota.c.dataset == name)
    found: Quota | None = connection.execute(query).scalar()
    return found or Quota()


def set_quota(connection: sa.Connection, name: str, quota: Quota) -> None:
    """Set the quota of a dataset, or of all together."""
    connection.execute(sa.delete(dataset_quota).where(dataset_quota.c.dataset == name))
    connection.execute(dataset_quota.insert().values(dataset=name, quota=quota))


def used_bytes(connection: sa.Connection, name: str) -> int:
    """Return the stored bytes of a dataset, or with `*` of all: what its versions added, and what purged ones left for them."""
    table, trash, carried = dataset_version, dataset_trash, dataset_carried
    is_purged = sa.exists().where(
        trash.c.dataset == table.c.dataset, trash.c.version == table.c.version, trash.c.purged_at.is_not(None)
    )
    added = sa.select(sa.func.sum(table.c.stored_bytes)).where(~is_purged)
    left = sa.select(sa.func.sum(carried.c.carried_bytes))
    if name != EVERY:
        added, left = added.where(table.c.dataset == name), left.where(carried.c.dataset == name)
    return int(connection.execute(added).scalar() or 0) + int(connection.execute(left).scalar() or 0)


def carry(connection: sa.Connection, name: str, size_bytes: int) -> None:
    """Note how many bytes that purged versions stored first are needed still."""
    connection.execute(sa.delete(dataset_carried).where(dataset_carried.c.dataset == name))
    connection.execute(dataset_carried.insert().values(dataset=name, carried_bytes=size_bytes))
