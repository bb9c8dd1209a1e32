"""What dataset versions keep from being collected: their manifests, and what the manifests name.

Tests: tests/unit/data/test_service.py.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import sqlalchemy as sa

from everloop.core.digests import Digest
from everloop.data.manifests import decode_manifest
from everloop.data.tables import dataset_version

if TYPE_CHECKING:
    from collections.abc import Iterator

    from everloop.kernel.objects import Objects


def roots(connection: sa.Connection, objects: Objects) -> Iterator[tuple[Digest, str]]:
    """Yield the objects that dataset versions are made of, each with the version that keeps it."""
    query = sa.select(dataset_version.c.dataset, dataset_version.c.version, dataset_version.c.manifest)
    seen: set[str] = set()
    for row in connection.execute(query):
        if row.manifest in seen:
            continue
        seen.add(row.manifest)
        why = f"dataset:{row.dataset}@v{row.version}"
        yield Digest(row.manifest), why
        for part in decode_manifest(objects.get(Digest(row.manifest))).parts:
            yield Digest(part.digest), why
            if part.deletions:
                yield Digest(part.deletions), why
