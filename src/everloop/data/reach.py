"""What dataset versions keep from being collected: their manifests, and what the manifests name.

Tests: tests/unit/data/test_service.py.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import sqlalchemy as sa

from everloop.core.digests import Digest
from everloop.data.files.records import TreeReference
from everloop.data.files.tree import tree_objects
from everloop.data.manifests import decode_manifest
from everloop.data.tables import dataset_version

if TYPE_CHECKING:
    from collections.abc import Iterator

    from everloop.kernel.objects import Objects


def roots(connection: sa.Connection, objects: Objects) -> Iterator[tuple[Digest, str]]:
    """Yield the objects that dataset versions are made of, each with the version that keeps it."""
    table = dataset_version
    query = sa.select(table.c.dataset, table.c.version, table.c.shape, table.c.digest, table.c.manifest)
    seen: set[str] = set()
    for row in connection.execute(query):
        if row.manifest in seen:
            continue
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
