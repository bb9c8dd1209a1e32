"""Every kind of source gives the same rows; what is no source is refused in words."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import duckdb
import pandas as pd
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from everloop.data.connectors import (
    MixedTypesError,
    SchemaDiffersError,
    SourceConsumedError,
    SourceNotFoundError,
    UnknownOptionError,
    UnsupportedSourceError,
    open_source,
    to_arrow,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

ROWS = pa.table({"a": [1, 2, 3], "b": ["x", None, "z"]})


def batches() -> Iterator[dict[str, list[Any]]]:
    yield {"a": [1, 2], "b": ["x", None]}
    yield {"a": [3], "b": ["z"]}


@pytest.mark.parametrize(
    "source",
    [
        ROWS,
        ROWS.to_reader(),
        ROWS.to_pylist(),
        ROWS.to_pydict(),
        ROWS.to_pandas(),
        pl.from_arrow(ROWS),
        pl.LazyFrame(ROWS.to_pydict()),
        batches(),
        iter([ROWS.slice(0, 1).to_pandas(), ROWS.slice(1).to_pandas()]),
    ],
    ids=lambda source: type(source).__name__,
)
def test_each_kind_in_memory_gives_the_same_rows(source: object) -> None:
    assert to_arrow(source).equals(ROWS)


def test_a_relation_of_duckdb_is_read() -> None:
    connection = duckdb.connect()
    connection.register("rows", ROWS)

    assert to_arrow(connection.sql("SELECT * FROM rows")).equals(ROWS)


def test_a_hugging_face_dataset_is_read() -> None:
    datasets = pytest.importorskip("datasets", reason="Hugging Face datasets is not installed")
    found = datasets.Dataset.from_dict(ROWS.to_pydict())

    assert to_arrow(found).equals(ROWS)


def test_an_iterator_can_be_read_once_only() -> None:
    stream = open_source(batches())
    assert sum(table.num_rows for table in stream.batches()) == 3

    with pytest.raises(SourceConsumedError):
        list(stream.batches())


def test_batches_of_an_iterator_that_differ_are_named() -> None:
    with pytest.raises((MixedTypesError, SchemaDiffersError), match="a"):
        to_arrow(iter([{"a": [1]}, {"a": ["x"]}]))


@pytest.mark.parametrize("source", [7, b"bytes", object()])
def test_what_is_no_source_is_refused(source: object) -> None:
    with pytest.raises(UnsupportedSourceError, match="cannot be added"):
        to_arrow(source)


def test_an_option_of_another_kind_is_refused(write: Callable[[str, str | bytes], Path]) -> None:
    with pytest.raises(UnknownOptionError, match="sheet"):
        to_arrow(write("rows.csv", "a\n1\n"), sheet="Rows")


def test_a_path_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(SourceNotFoundError, match=r"none\.csv"):
        to_arrow(tmp_path / "none.csv")


def test_a_stream_has_the_digest_of_its_bytes(write: Callable[[str, str | bytes], Path]) -> None:
    one, other = write("one.csv", "a\n1\n"), write("other.csv", "a\n1\n")

    assert open_source(one).source_digest == open_source(other).source_digest != ""
    assert open_source(pd.DataFrame({"a": [1]})).source_digest == ""


def test_a_folder_or_a_pattern_is_one_table_in_the_order_of_names(tmp_path: Path) -> None:
    pq.write_table(ROWS.slice(2), tmp_path / "2.parquet")
    pq.write_table(ROWS.slice(0, 2), tmp_path / "1.parquet")

    assert to_arrow(tmp_path).equals(ROWS)
    assert to_arrow(str(tmp_path / "*.parquet")).equals(ROWS)
    assert open_source(tmp_path).known_rows == 3


def test_folders_named_like_values_become_a_column(
    write: Callable[[str, str | bytes], Path], tmp_path: Path
) -> None:
    write("year=2013/a.csv", "x\n1\n")
    write("year=2014/a.csv", "x\n2\n")

    assert to_arrow(tmp_path).to_pydict() == {"x": [1, 2], "year": [2013, 2014]}


def test_a_file_of_a_folder_with_other_columns_is_named(
    write: Callable[[str, str | bytes], Path], tmp_path: Path
) -> None:
    write("1.csv", "a,b\n1,2\n")
    write("2.csv", "a,c\n1,2\n")

    with pytest.raises(SchemaDiffersError, match=r"2\.csv.*c"):
        to_arrow(tmp_path)


def test_a_folder_that_links_into_itself_is_read_or_refused_but_never_for_ever(
    write: Callable[[str, str | bytes], Path], tmp_path: Path
) -> None:
    write("a/1.csv", "a\n1\n")
    (tmp_path / "a" / "again").symlink_to(tmp_path / "a", target_is_directory=True)

    with pytest.raises(Exception, match="again"):
        to_arrow(tmp_path)
