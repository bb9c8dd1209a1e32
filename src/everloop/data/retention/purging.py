"""Empty the trash: what has been there long enough loses its rows for good, unless a run or a model came to need it.

The row of a version stays with its digest, so that history and lineage still name it; its manifest is no root any more, so the
collection that follows removes the objects no one else needs. Statistics and masked parts of it go, too: they hold values.
Tests: tests/unit/data/retention/test_trash.py, tests/property/test_retention.py.
"""

from __future__ import annotations

from collections import defaultdict
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from everloop.core.digests import Digest
from everloop.data.files.records import TreeReference
from everloop.data.files.tree import tree_objects
from everloop.data.manifests import decode_manifest, named_objects
from everloop.data.retention import queries
from everloop.kernel.objects import tables as stored
from everloop.kernel.objects.protocol import ObjectNotFoundError

if TYPE_CHECKING:
    from collections.abc import Iterable

    import sqlalchemy as sa

    from everloop.kernel.objects import Objects
    from everloop.kernel.operations import Kernel


def empty_trash(kernel: Kernel, *, dry_run: bool) -> list[str]:
    """Purge what has been in the trash long enough; return what went, or in a dry run would go, as `flights@v3`."""
    with kernel.catalog.read() as connection:
        due = queries.list_trash(connection, until=kernel.clock.now())
    gone: list[str] = []
    by_dataset: defaultdict[str, list[sa.Row[Any]]] = defaultdict(list)
    for row in due:
        by_dataset[row.dataset].append(row)
    for name, rows in by_dataset.items():
        if dry_run:
            with kernel.catalog.read() as connection:
                gone += [f"{name}@v{v.version}" for row in rows for v in _doomed(connection, row)]
        else:
            gone += _purge(kernel, name, rows)
    return list(dict.fromkeys(gone))


def objects_of(row: sa.Row[Any], objects: Objects) -> set[Digest]:
    """Return the objects that a version is made of; of one whose manifest is lost none."""
    with suppress(ObjectNotFoundError):
        if row.shape == "files":
            tree = TreeReference(digest=row.digest, manifest=row.manifest, files=0, size_bytes=0)
            return {Digest(row.manifest), *tree_objects([tree], objects)}
        content = decode_manifest(objects.get(Digest(row.manifest)))
        return {Digest(row.manifest), *named_objects(content)}
    return set()


def size_of(connection: sa.Connection, digests: Iterable[Digest]) -> int:
    """Return the bytes of objects."""
    return sum(place.size for place in stored.find(connection, digests).values())


def _doomed(connection: sa.Connection, row: sa.Row[Any]) -> list[sa.Row[Any]]:
    """Return the versions that go with a row of the trash: those nobody reaches; branches go with their dataset."""
    reached = queries.reached(connection, row.dataset, refs=bool(row.version))
    return [
        version
        for version in queries.unpurged_versions(connection, row.dataset)
        if row.version in (0, version.version) and version.version not in reached
    ]


def _purge(kernel: Kernel, name: str, rows: list[sa.Row[Any]]) -> list[str]:
    gone: dict[int, sa.Row[Any]] = {}
    now = kernel.clock.now()
    with kernel.catalog.transaction(durable=True) as connection:
        queries.hold(connection, name)
        for row in rows:
            # It may have been brought back meanwhile.
            if queries.find_trash(connection, name, row.version) is None:
                continue
            for version in _doomed(connection, row):
                queries.note_purged(connection, row, version.version, now=now)
                _tell(kernel, connection, row, version)
                gone[version.version] = version
            if not row.version and not queries.unpurged_versions(connection, name):
                queries.note_purged(connection, row, 0, now=now)
                queries.drop_refs(connection, name)
        if gone:
            left = queries.unpurged_versions(connection)
            queries.drop_checks(connection, name, gone)
            _forget_values(kernel, connection, list(gone.values()), left)
            _carry(kernel, connection, name, [row for row in left if row.dataset == name])
    return [f"{name}@v{number}" for number in sorted(gone)]


def _tell(kernel: Kernel, connection: sa.Connection, row: sa.Row[Any], version: sa.Row[Any]) -> None:
    facts = {
        "digest": version.digest,
        "manifest": version.manifest,
        "commit": version.commit,
        "trashed_by": row.trashed_by,
        "trashed_at": row.trashed_at.isoformat(),
        "reason": row.reason,
    }
    subject = f"dataset:{version.dataset}@v{version.version}"
    kernel.events.append(connection, kind="dataset.purged", subject=subject, payload=facts)


def _forget_values(
    kernel: Kernel, connection: sa.Connection, gone: list[sa.Row[Any]], left: list[sa.Row[Any]]
) -> None:
    """Remove what the catalog holds of the values of parts that no version has any more."""
    # What is forgotten too much is computed again.
    same_name = [row for row in left if row.dataset == gone[0].dataset]
    queries.drop_values(
        connection,
        parts=_part_keys(gone, kernel.objects) - _part_keys(same_name, kernel.objects),
        digests={row.digest for row in gone} - {row.digest for row in left},
    )


def _part_keys(rows: list[sa.Row[Any]], objects: Objects) -> set[str]:
    found: set[str] = set()
    for manifest in {row.manifest for row in rows if row.shape == "table"}:
        with suppress(ObjectNotFoundError):
            found |= {part.key for part in decode_manifest(objects.get(Digest(manifest))).parts}
    return found


def _carry(kernel: Kernel, connection: sa.Connection, name: str, left: list[sa.Row[Any]]) -> None:
    """Note what the versions left take beyond what they are said to have added, now that others are gone."""
    needed: set[Digest] = set()
    for row in left:
        needed |= objects_of(row, kernel.objects) - {Digest(row.manifest)}
    exact = size_of(connection, needed)
    queries.carry(connection, name, max(0, exact - sum(row.stored_bytes for row in left)))
