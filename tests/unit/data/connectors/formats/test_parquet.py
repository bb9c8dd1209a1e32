"""Parquet is read in pieces, by column when asked, and never beyond what is asked."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from everloop.core.digests import digest_file
from everloop.data.connectors import UnreadableSourceError, UnsupportedSourceError, open_source, to_arrow
from everloop.data.contents import DuplicateColumnError

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def path(tmp_path: Path) -> Path:
    table = pa.table({"a": range(300_000), "b": pa.array(["x"] * 300_000).dictionary_encode()})
    pq.write_table(table, tmp_path / "rows.parquet", row_group_size=100_000)
    return tmp_path / "rows.parquet"


def test_rows_and_digest_are_known_before_reading(path: Path) -> None:
    stream = open_source(path)

    assert (stream.known_rows, stream.source_digest) == (300_000, digest_file(path))
    assert stream.schema.types == [pa.int64(), pa.string()]


def test_pieces_are_bounded_and_may_be_read_again(path: Path) -> None:
    stream = open_source(path)

    for _ in range(2):
        pieces = list(stream.batches())
        assert max(piece.num_rows for piece in pieces) <= 131_072
        assert {piece.schema for piece in pieces} == {stream.schema}
        assert pa.concat_tables(pieces).column("a").to_pylist()[::50_000] == list(range(0, 300_000, 50_000))


def test_pieces_of_wide_rows_have_fewer_rows(tmp_path: Path) -> None:
    table = pa.table({"image": [bytes([number]) * 1_000_000 for number in range(200)]})
    pq.write_table(table, tmp_path / "images.parquet", compression="none")

    pieces = open_source(tmp_path / "images.parquet").batches()

    assert max(piece.nbytes for piece in pieces) < 80 << 20


def test_columns_are_read_in_the_order_they_are_named(path: Path) -> None:
    assert to_arrow(path, columns=["b", "a"]).column_names == ["b", "a"]
    with pytest.raises(UnreadableSourceError, match="has no column c; it has a, b"):
        open_source(path, columns=["c"])


@pytest.mark.parametrize("end", [-1, -9, 200_000])
def test_a_file_that_was_cut_off_is_refused(path: Path, end: int) -> None:
    path.write_bytes(path.read_bytes()[:end])

    with pytest.raises(UnreadableSourceError, match="not a whole Parquet file"):
        to_arrow(path)


def test_damage_in_the_middle_is_refused_when_it_is_reached(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[150_000:200_000] = bytes(50_000)
    path.write_bytes(content)

    with pytest.raises(UnreadableSourceError, match="not a whole Parquet file"):
        to_arrow(path)


def test_a_packed_parquet_file_is_refused(path: Path) -> None:
    packed = path.rename(path.with_name("rows.parquet.gz"))

    with pytest.raises(UnsupportedSourceError, match="Unpack it first"):
        open_source(packed)


def test_column_names_that_differ_by_case_are_refused_with_the_file(tmp_path: Path) -> None:
    pq.write_table(pa.table({"a": [1], "A": [2]}), tmp_path / "rows.parquet")

    with pytest.raises(DuplicateColumnError, match=r"rows\.parquet: column names must be unique"):
        open_source(tmp_path / "rows.parquet")
