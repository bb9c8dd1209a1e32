"""What dataset versions keep from being collected: their manifests, and what the manifests name.

Tests: tests/unit/data/test_service.py.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from everloop.core.digests import Digest
from everloop.data.files.records import TreeReference
from everloop.data.files.tree import tree_objects
from everloop.data.manifests import decode_manifest
from everloop.data.retention import queries

if TYPE_CHECKING:
    from collections.abc import Iterator

    import sqlalchemy as sa

    from everloop.data.retention.records import Expired
    from everloop.kernel.objects import Objects
    from everloop.kernel.operations import Kernel


def roots(connection: sa.Connection, objects: Objects) -> Iterator[tuple[Digest, str]]:
    """Yield the objects that dataset versions are made of, each with the version that keeps it; those in the trash come first.

    So that an object of a version that is to be purged is said to be kept by another one that has it, too.
    """
    trashed = {(row.dataset, row.version) for row in queries.list_trash(connection)}
    rows = queries.unpurged_versions(connection)
    in_trash = [bool(trashed & {(row.dataset, row.version), (row.dataset, 0)}) for row in rows]
    seen: set[str] = set()
    for is_trashed, row in sorted(zip(in_trash, rows, strict=True), key=lambda pair: not pair[0]):
        if row.manifest in seen:
            continue
        # Each version of the trash speaks for itself: one may go before another of the same content.
        if not is_trashed:
            seen.add(row.manifest)
        why = f"dataset:{row.dataset}@v{row.version}"
        if row.shape == "files":
            tree = TreeReference(digest=row.digest, manifest=row.manifest, files=0, size_bytes=0)
            yield from ((digest, why) for digest in tree_objects([tree], objects))
            continue
        yield Digest(row.manifest), why
        for part in decode_manifest(objects.get(Digest(row.manifest))).parts:
            yield Digest(part.digest), why
            if part.deletions:
                yield Digest(part.deletions), why


def expire(kernel: Kernel, *, dry_run: bool) -> Expired:
    """Let rules move versions into the trash, and purge what has been there long enough; a dry run only tells."""
    from everloop.data.retaining import apply_rules
    from everloop.data.retention.purging import empty_trash
    from everloop.data.retention.records import Expired

    purged = empty_trash(kernel, dry_run=dry_run)
    return Expired(trashed=apply_rules(kernel, dry_run=dry_run), purged=purged)
