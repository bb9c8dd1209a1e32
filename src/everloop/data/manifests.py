"""The object that says how a version is stored, so that a version travels by its digest alone.

Tests: tests/unit/data/test_service.py.
"""

from __future__ import annotations

import msgspec

from everloop.core.digests import Digest, canonical_json
from everloop.data.records import TableReference


def encode_manifest(content: TableReference) -> bytes:
    """Return the bytes of a table's manifest; the name of the version is no part of it."""
    return canonical_json(msgspec.structs.replace(content, name=""))


def decode_manifest(manifest: bytes) -> TableReference:
    """Return the table of a manifest."""
    return msgspec.json.decode(manifest, type=TableReference)


def named_objects(content: TableReference) -> set[Digest]:
    """Return the objects that a table is made of."""
    found = {Digest(part.digest) for part in content.parts}
    return found | {Digest(part.deletions) for part in content.parts if part.deletions}
