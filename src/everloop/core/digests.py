"""Content digests: the name of some bytes is `b3:` and the BLAKE3-256 of them in hexadecimal.

Values are hashed through one canonical JSON, so that the same value has the same digest on every machine. Tests:
tests/unit/core/test_digests.py, tests/property/test_core.py.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, NewType

import msgspec
from blake3 import blake3

from everloop.core.errors import InvalidInputError

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from typing_extensions import Buffer

Digest = NewType("Digest", str)

_PREFIX = "b3:"
_HEX = 64
_CHUNK = 1 << 20
# BLAKE3 runs threads only above this size; below, starting them costs more than they save.
_THREADED = 8 << 20


class NotCanonicalError(InvalidInputError):
    """A value has no canonical form, so it cannot be hashed."""

    code = "core.not-canonical"


class InvalidDigestError(InvalidInputError):
    """A text is not a digest."""

    code = "core.invalid-digest"


def digest_bytes(content: Buffer) -> Digest:
    """Return the digest of some bytes."""
    size = memoryview(content).nbytes
    threads = blake3.AUTO if size > _THREADED else 1
    return Digest(_PREFIX + blake3(content, max_threads=threads).hexdigest())


def digest_stream(chunks: Iterable[Buffer]) -> Digest:
    """Return the digest of the concatenation of `chunks`."""
    hasher = blake3()
    for chunk in chunks:
        hasher.update(chunk)
    return Digest(_PREFIX + hasher.hexdigest())


def digest_file(path: Path) -> Digest:
    """Return the digest of a file's content, reading it by memory map."""
    hasher = blake3(max_threads=blake3.AUTO)
    if path.stat().st_size:
        hasher.update_mmap(path)
    return Digest(_PREFIX + hasher.hexdigest())


def digest_value(value: object) -> Digest:
    """Return the digest of a plain value through `canonical_json`."""
    return digest_bytes(canonical_json(value))


def parse_digest(text: str) -> Digest:
    """Return `text` as a digest.

    Raises:
        InvalidDigestError: it is not `b3:` and 64 lower-case hexadecimal digits.
    """
    body = text.removeprefix(_PREFIX)
    if len(body) != _HEX or body == text or not set(body) <= set("0123456789abcdef"):
        raise InvalidDigestError(
            f"{text!r} is not a digest; a digest is b3: and 64 hexadecimal digits.", subject=text
        )
    return Digest(text)


def canonical_json(value: object) -> bytes:
    """Return the one JSON text of a plain value: keys sorted, no spaces, floats in shortest form.

    Accepts None, bool, int, float, str, bytes, lists, tuples, sets, string-keyed dicts, dates, decimals, UUIDs, enums and msgspec structs.

    Raises:
        NotCanonicalError: a float is not finite, or a type is none of these.
    """
    try:
        plain = msgspec.to_builtins(value, order="deterministic", enc_hook=_refuse)
        _refuse_non_finite(plain)
        return msgspec.json.encode(plain, order="deterministic")
    except (TypeError, ValueError, OverflowError) as error:
        raise NotCanonicalError(
            f"a {type(value).__name__} cannot be hashed: {error}. Pass plain values, or give the step a hasher."
        ) from error


def _refuse(value: object) -> Any:  # noqa: ANN401 - the signature msgspec asks for
    raise NotCanonicalError(
        f"a value of type {type(value).__name__} has no canonical form. Pass plain values (numbers, text, lists, dicts)."
    )


def _refuse_non_finite(value: object) -> None:
    if isinstance(value, float) and not math.isfinite(value):
        raise NotCanonicalError(f"{value} has no JSON form; use None for a missing number.")
    if isinstance(value, dict):
        for item in value.values():
            _refuse_non_finite(item)
    elif isinstance(value, list | tuple):
        for item in value:
            _refuse_non_finite(item)
