"""Codecs of plain values, records and bytes. Tests: tests/unit/pipelines/test_artifacts.py, tests/property/test_artifacts.py."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import msgspec

from everloop.core.digests import canonical_json, digest_bytes
from everloop.pipelines.codecs.protocol import INLINE_BYTES, find_type, type_name
from everloop.pipelines.records import Artifact

if TYPE_CHECKING:
    from everloop.pipelines.codecs.protocol import Store


class JsonCodec:
    """Plain values that JSON gives back exactly."""

    name = "json"

    def takes(self, value: object) -> bool:
        """Take None, bool, int, finite float, str, and lists and text-keyed dicts of them."""
        return _is_exact_json(value)

    def dump(self, value: object, store: Store) -> Artifact:
        """Keep small values in the row, larger ones as an object."""
        return _dump_json(self.name, canonical_json(value), store, {})

    def load(self, artifact: Artifact, store: Store) -> object:
        """Decode."""
        return msgspec.json.decode(_json_text(artifact, store))


class RecordCodec:
    """msgspec structs and dataclasses whose class can be imported."""

    name = "record"

    def takes(self, value: object) -> bool:
        """Take instances of importable struct and dataclass types."""
        kind = type(value)
        is_record = isinstance(value, msgspec.Struct) or hasattr(kind, "__dataclass_fields__")
        return (
            is_record and not hasattr(kind, "__everloop_artifact__") and "<locals>" not in kind.__qualname__
        )

    def dump(self, value: object, store: Store) -> Artifact:
        """Write the fields as JSON and the class's name."""
        return _dump_json(self.name, canonical_json(value), store, {"type": type_name(type(value))})

    def load(self, artifact: Artifact, store: Store) -> object:
        """Build the record again."""
        return msgspec.json.decode(_json_text(artifact, store), type=find_type(artifact.facts["type"]))


class BytesCodec:
    """Bytes."""

    name = "bytes"

    def takes(self, value: object) -> bool:
        """Take bytes."""
        return isinstance(value, bytes)

    def dump(self, value: bytes, store: Store) -> Artifact:
        """Store as one object."""
        digest = store.put(value)
        return Artifact(codec=self.name, digest=digest, objects={"bytes": digest})

    def load(self, artifact: Artifact, store: Store) -> object:
        """Read them."""
        return store.objects.get(artifact.objects["bytes"])


def _dump_json(codec: str, text: bytes, store: Store, facts: dict[str, Any]) -> Artifact:
    digest = digest_bytes(canonical_json(facts) + text) if facts else digest_bytes(text)
    if len(text) <= INLINE_BYTES:
        return Artifact(codec=codec, digest=digest, inline=text.decode(), facts=facts)
    return Artifact(codec=codec, digest=digest, objects={"value.json": store.put(text)}, facts=facts)


def _json_text(artifact: Artifact, store: Store) -> bytes:
    if artifact.inline is not None:
        return artifact.inline.encode()
    return store.objects.get(artifact.objects["value.json"])


def _is_exact_json(value: object) -> bool:
    kind = type(value)
    if kind in {bool, int, str} or value is None:
        return True
    if kind is float:
        return math.isfinite(value)  # type: ignore[arg-type] # a float, just asked
    if kind is list:
        return all(_is_exact_json(item) for item in value)  # type: ignore[attr-defined] # a list, just asked
    return kind is dict and all(type(key) is str and _is_exact_json(item) for key, item in value.items())  # type: ignore[attr-defined] # a dict
