"""Every source is read alike, and bad input is refused with its place and the way out."""

from __future__ import annotations

import gzip
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import duckdb
import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from everloop.data.connectors import (
    EmptySourceError,
    RaggedRowError,
    SourceNotFoundError,
    UnreadableSourceError,
    UnsupportedSourceError,
    to_arrow,
)
from everloop.data.contents import DuplicateColumnError, UnnamedColumnError
from everloop.data.table import Table

if TYPE_CHECKING:
    from pathlib import Path

ROWS = {"id": [1, 2], "dest": ["BOS", None]}


def write(tmp_path: Path, text: str, name: str = "rows.csv") -> Path:
    path = tmp_path / name
    path.write_text(text)
    return path


def test_the_same_rows_are_the_same_content_from_every_source(tmp_path: Path) -> None:
    arrow = pa.table(ROWS)
    pq.write_table(arrow, tmp_path / "rows.parquet")
    sources = [
        arrow,
        ROWS,
        [{"id": 1, "dest": "BOS"}, {"id": 2, "dest": None}],
        pd.DataFrame(ROWS),
        pl.DataFrame(ROWS),
        pl.DataFrame(ROWS).lazy(),
        duckdb.sql("SELECT 1::BIGINT AS id, 'BOS' AS dest UNION ALL SELECT 2, NULL ORDER BY id"),
        tmp_path / "rows.parquet",
        write(tmp_path, "id,dest\n1,BOS\n2,\n"),
        str(write(tmp_path, "id\tdest\n1\tBOS\n2\t\n", "rows.tsv")),
    ]

    assert {Table.of(source).digest for source in sources} == {Table.of(arrow).digest}


def test_a_ragged_row_is_named_with_file_and_line(tmp_path: Path) -> None:
    path = write(tmp_path, 'id,dest\n1,"B\nOS"\n2\n3,JFK\n')

    with pytest.raises(RaggedRowError, match=r"rows\.csv, line 4: 1 fields where the header has 2") as caught:
        to_arrow(path)
    assert caught.value.details == {"line": 4, "fields": 1, "expected": 2}


def test_a_ragged_row_inside_gzip_is_named_too(tmp_path: Path) -> None:
    path = tmp_path / "rows.csv.gz"
    path.write_bytes(gzip.compress(b"a,b\n1,2,3\n"))

    with pytest.raises(RaggedRowError, match="line 2: 3 fields"):
        to_arrow(path)


@pytest.mark.parametrize("name", ["rows.csv", "rows.parquet"])
def test_an_empty_file_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(EmptySourceError, match="0 bytes"):
        to_arrow(write(tmp_path, "", name))


def test_a_missing_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SourceNotFoundError):
        to_arrow(tmp_path / "nothing.csv")


def test_a_broken_parquet_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UnreadableSourceError, match="not a whole Parquet file"):
        to_arrow(write(tmp_path, "PAR1 and no more", "rows.parquet"))


def test_text_that_is_not_utf8_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "rows.csv"
    path.write_bytes("a,b\n1,Zürich\n".encode("latin-1"))

    with pytest.raises(UnreadableSourceError, match="UTF-8"):
        to_arrow(path)


@pytest.mark.parametrize("header", ["a,a", "Dest,dest"])
def test_a_duplicate_column_name_is_refused(tmp_path: Path, header: str) -> None:
    with pytest.raises(DuplicateColumnError, match="Rename them"):
        to_arrow(write(tmp_path, f"{header}\n1,2\n"))


def test_a_column_without_a_name_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UnnamedColumnError):
        to_arrow(write(tmp_path, ",a\n1,2\n"))


def test_a_value_that_does_not_fit_widens_its_column(tmp_path: Path) -> None:
    # types come from the first 16 MiB; the last line is behind it
    line = f"1,2,{'x' * 200}\n"
    path = write(tmp_path, "a,b,c\n" + line * 90_000 + "1.5,two,y\n")

    assert [str(kind) for kind in to_arrow(path).schema.types] == ["double", "string", "string"]


def test_missing_marks_are_missing_numbers_and_kept_text(tmp_path: Path) -> None:
    path = write(tmp_path, "n,country\n1,NA\nNA,US\n,\n")

    assert to_arrow(path).to_pydict() == {"n": [1, None, None], "country": ["NA", "US", None]}


def test_nan_of_pandas_is_missing_and_nan_of_arrow_stays() -> None:
    assert to_arrow(pd.DataFrame({"x": [1.0, np.nan]})).column("x").null_count == 1
    assert to_arrow(pa.table({"x": [1.0, float("nan")]})).column("x").null_count == 0


def test_times_become_utc_microseconds() -> None:
    frame = pd.DataFrame({"t": pd.to_datetime(["2013-01-01 00:00"]).tz_localize("America/New_York")})

    assert to_arrow(frame).column("t").to_pylist() == [datetime(2013, 1, 1, 5, tzinfo=UTC)]


@pytest.mark.parametrize("source", [object(), 7, [1, 2], pd.Series([1])])
def test_an_unknown_source_is_refused(source: object) -> None:
    with pytest.raises(UnsupportedSourceError):
        to_arrow(source)


@pytest.mark.parametrize("source", [{"a": [1, "x"]}, {"a": [1], "b": [1, 2]}])
def test_values_that_are_no_table_are_refused(source: object) -> None:
    with pytest.raises(UnreadableSourceError):
        to_arrow(source)
