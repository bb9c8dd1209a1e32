"""CSV is read in blocks as if it were read whole, and what is wrong with it is named with its line."""

from __future__ import annotations

import bz2
import gzip
from typing import TYPE_CHECKING

import pyarrow as pa
import pytest

from everloop.data.connectors import (
    EmptySourceError,
    RaggedRowError,
    SchemaWidenedError,
    UnknownOptionError,
    UnreadableSourceError,
    WrongEncodingError,
    open_source,
    to_arrow,
)

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


def compress(content: bytes, suffix: str) -> bytes:
    if suffix == "zst":
        packed: bytes = pa.compress(content, "zstd", asbytes=True)
        return packed
    return gzip.compress(content) if suffix == "gz" else bz2.compress(content)


@pytest.mark.parametrize("suffix", ["gz", "zst", "bz2"])
def test_a_compressed_file_has_the_rows_of_the_plain_one(
    write: Callable[[str, str | bytes], Path], suffix: str
) -> None:
    path = write(f"rows.csv.{suffix}", compress(b"a,b\n1,x\n2,y\n", suffix))

    assert to_arrow(path).to_pydict() == {"a": [1, 2], "b": ["x", "y"]}


@pytest.mark.parametrize("suffix", ["gz", "zst", "bz2"])
def test_a_compressed_file_that_was_cut_off_is_refused(
    write: Callable[[str, str | bytes], Path], suffix: str
) -> None:
    content = "".join(f"{number},{number * 7919 % 10007}\n" for number in range(20_000)).encode()
    path = write(f"rows.csv.{suffix}", compress(b"a,b\n" + content, suffix)[:-40])

    with pytest.raises(UnreadableSourceError, match=r"rows\.csv.* is cut off or damaged") as caught:
        to_arrow(path)
    assert caught.value.subject == str(path)


@pytest.mark.usefixtures("small_blocks")
def test_a_newline_inside_quotes_does_not_end_a_block(write: Callable[[str, str | bytes], Path]) -> None:
    path = write("rows.csv", "a,b\n" + '1,"x\n\ny ""z"""\n' * 20 + '2,5" pipe\n' * 20)

    rows = to_arrow(path)

    assert rows.column("b").to_pylist() == ['x\n\ny "z"'] * 20 + ['5" pipe'] * 20


@pytest.mark.usefixtures("small_blocks")
def test_whole_numbers_become_floats_and_then_text_as_it_is_written(
    write: Callable[[str, str | bytes], Path],
) -> None:
    path = write(
        "rows.csv", "a,b,c\n" + "007,1,2013-01-01\n" * 5 + "1.5,1.5,2013-01-01 05:00:00\n" + "x,2,\n"
    )

    rows = to_arrow(path)

    assert [str(kind) for kind in rows.schema.types] == ["string", "double", "timestamp[us, tz=UTC]"]
    assert rows.column("a").to_pylist() == ["007"] * 5 + ["1.5", "x"]


@pytest.mark.usefixtures("small_blocks")
def test_a_column_whose_first_values_are_missing_has_the_type_of_the_later_ones(
    write: Callable[[str, str | bytes], Path],
) -> None:
    path = write("rows.csv", "a,b\n" + "1,\n" * 20 + "1,7\n")

    assert to_arrow(path).column("b").to_pylist() == [None] * 20 + [7]


@pytest.mark.usefixtures("small_blocks")
def test_who_reads_batches_is_told_once_that_types_widened(
    write: Callable[[str, str | bytes], Path],
) -> None:
    stream = open_source(write("rows.csv", "a,b\n" + "1,1\n" * 20 + "x,1.5\n"))
    assert stream.schema.types == [pa.int64(), pa.int64()]

    with pytest.raises(SchemaWidenedError):
        list(stream.batches())

    assert stream.schema.types == [pa.string(), pa.float64()]
    assert pa.concat_tables(stream.batches()).num_rows == 21


@pytest.mark.usefixtures("small_blocks")
@pytest.mark.parametrize("newline", ["\n", "\r\n", "\r"])
def test_a_ragged_row_in_a_late_block_is_named_by_its_line(
    write: Callable[[str, str | bytes], Path], newline: str
) -> None:
    path = write("rows.csv", newline.join(["a,b", *["1,2"] * 40, "1,2,3", *["1,2"] * 9]))

    with pytest.raises(RaggedRowError, match="line 42: 3 fields where the header has 2"):
        to_arrow(path)


@pytest.mark.usefixtures("small_blocks")
def test_a_quote_that_is_never_closed_is_named_by_its_line(write: Callable[[str, str | bytes], Path]) -> None:
    path = write("rows.csv", "a,b\n" + "1,2\n" * 20 + '1,"2\n' + "1,2\n" * 20)

    with pytest.raises(UnreadableSourceError, match=r"rows\.csv, line 22: a quote that opens here"):
        to_arrow(path)


@pytest.mark.usefixtures("small_blocks")
def test_text_in_another_encoding_is_refused_with_its_line_and_read_when_named(
    write: Callable[[str, str | bytes], Path],
) -> None:
    text = "id,city\n" + "1,Bern\n" * 20 + "2,Zürich\n"
    path = write("rows.csv", text.encode("latin-1"))

    with pytest.raises(WrongEncodingError, match='line 22, is not UTF-8 text.*encoding="latin-1"'):
        to_arrow(path)
    assert to_arrow(path, encoding="latin-1").column("city")[-1].as_py() == "Zürich"


@pytest.mark.parametrize("encoding", ["utf-16", "cp1252", "utf-8-sig", "UTF_8"])
def test_each_encoding_that_python_knows_is_read(
    write: Callable[[str, str | bytes], Path], encoding: str
) -> None:
    path = write("rows.csv", "a,b\n1,Zürich\n".encode(encoding))

    assert to_arrow(path, encoding=encoding).to_pydict() == {"a": [1], "b": ["Zürich"]}


@pytest.mark.parametrize("content", [b"\xffa,b\n1,2\n", "a,b\n1,2\n".encode("utf-16")])
def test_a_header_in_another_encoding_is_refused(
    write: Callable[[str, str | bytes], Path], content: bytes
) -> None:
    with pytest.raises(WrongEncodingError, match="encoding="):
        to_arrow(write("rows.csv", content))


def test_an_encoding_that_does_not_exist_is_refused(write: Callable[[str, str | bytes], Path]) -> None:
    with pytest.raises(UnknownOptionError, match="no encoding 'latin-99'"):
        to_arrow(write("rows.csv", "a\n1\n"), encoding="latin-99")


def test_text_that_is_not_in_the_encoding_named_is_refused(
    write: Callable[[str, str | bytes], Path],
) -> None:
    with pytest.raises(WrongEncodingError, match="is not ascii text"):
        to_arrow(write("rows.csv", "a\nZürich\n"), encoding="ascii")


def test_a_separator_may_be_named(write: Callable[[str, str | bytes], Path]) -> None:
    path = write("rows.csv", 'a;b\n1;"x;y"\n')

    assert to_arrow(path, separator=";").to_pydict() == {"a": [1], "b": ["x;y"]}


def test_a_file_of_one_byte_order_mark_is_empty(write: Callable[[str, str | bytes], Path]) -> None:
    with pytest.raises(EmptySourceError):
        to_arrow(write("rows.csv", b"\xef\xbb\xbf"))


def test_a_header_without_rows_has_columns_and_no_rows(write: Callable[[str, str | bytes], Path]) -> None:
    rows = to_arrow(write("rows.csv", "a,b\n"))

    assert (rows.column_names, rows.num_rows) == (["a", "b"], 0)
