"""Sizes are read as people write them."""

from __future__ import annotations

import pytest

from everloop.core.sizes import InvalidSizeError, parse_size


@pytest.mark.parametrize(
    ("text", "size"),
    [(10, 10), ("10", 10), ("4GB", 4_000_000_000), ("1.5 MiB", 1_572_864), ("3kb", 3_000)],
)
def test_sizes_with_and_without_units(text: str | int, size: int) -> None:
    assert parse_size(text) == size


@pytest.mark.parametrize("text", ["", "GB", "4 XB", "-1", "0", "1e9"])
def test_what_is_no_size_is_refused(text: str) -> None:
    with pytest.raises(InvalidSizeError, match="is no size"):
        parse_size(text)
