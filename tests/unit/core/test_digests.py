"""The name of some bytes is `b3:` and their BLAKE3; values have one canonical JSON."""

from __future__ import annotations

import math
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import msgspec
import pytest

from everloop.core.digests import (
    InvalidDigestError,
    NotCanonicalError,
    canonical_json,
    digest_bytes,
    digest_file,
    digest_stream,
    digest_value,
    parse_digest,
)

if TYPE_CHECKING:
    from pathlib import Path

# The first test vector of BLAKE3: https://github.com/BLAKE3-team/BLAKE3/blob/master/test_vectors/test_vectors.json
EMPTY = "b3:af1349b9f5f9a1a6a0404dea36dcc9499bcb25c9adc112b7cc9a93cae41f3262"


class Point(msgspec.Struct, frozen=True):
    """A struct to hash."""

    y: int
    x: float


def test_the_empty_object_has_the_published_digest() -> None:
    assert digest_bytes(b"") == EMPTY


@pytest.mark.parametrize("size", [0, 1, 1 << 20, 9 << 20])
def test_bytes_streams_and_files_agree(size: int, tmp_path: Path) -> None:
    content = bytes(index % 251 for index in range(min(size, 10_000))) * (size // 10_000 + 1)
    content = content[:size]
    (tmp_path / "file").write_bytes(content)

    digest = digest_bytes(content)

    assert digest_file(tmp_path / "file") == digest
    assert digest_stream([content[:7], b"", content[7:]]) == digest
    assert digest_bytes(memoryview(content)) == digest


@pytest.mark.parametrize("text", ["", "b3:", EMPTY[:-1], EMPTY + "0", EMPTY.upper(), "sha256" + EMPTY[2:], EMPTY[3:],
                                  EMPTY[:-1] + "g", EMPTY[:-1] + "\n"])  # fmt: skip
def test_a_text_that_is_no_digest_is_refused(text: str) -> None:
    with pytest.raises(InvalidDigestError):
        parse_digest(text)


def test_a_digest_reads_back() -> None:
    assert parse_digest(EMPTY) == EMPTY


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ({"b": 1, "a": [1.5, None, True]}, '{"a":[1.5,null,true],"b":1}'),
        ({"b", "a"}, '["a","b"]'),
        ((1, "é"), '[1,"é"]'),
        (Point(y=1, x=0.1), '{"x":0.1,"y":1}'),
        (datetime(2013, 2, 1, tzinfo=UTC), '"2013-02-01T00:00:00Z"'),
        (b"\x00", '"AA=="'),
    ],
)
def test_a_value_has_one_canonical_text(value: object, text: str) -> None:
    assert canonical_json(value).decode() == text
    assert digest_value(value) == digest_bytes(text.encode())


@pytest.mark.parametrize("value", [math.nan, {"a": [math.inf]}, {"a": (-math.inf,)}, object(), {"f": len}, "\ud800",
                                   {"a": {1, object()}}, {"a": 1j}])  # fmt: skip
def test_a_value_without_a_canonical_form_is_refused(value: object) -> None:
    with pytest.raises(NotCanonicalError):
        canonical_json(value)
