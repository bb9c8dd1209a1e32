"""Rows are written to files of several forms, in part when asked; a failed one leaves what was there."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

import pytest

from everloop.data.connectors import to_arrow
from everloop.data.engine import QueryError
from everloop.data.exporting import UnsupportedTargetError

if TYPE_CHECKING:
    from pathlib import Path

    from everloop.data.service import Data

N = 300_000


@pytest.fixture
def rows(data: Data) -> Data:
    moment = datetime(2013, 1, 1, tzinfo=UTC)
    data.add(
        "t", {"id": list(range(N)), "name": [f"n{number % 7}" for number in range(N)], "at": [moment] * N}
    )
    data.remove("t", "id % 10 = 3")
    return data


@pytest.mark.parametrize(
    "name", ["t.parquet", "t.arrow", "t.csv", "t.csv.gz", "t.jsonl", "t.jsonl.zst", "t.ndjson"]
)
def test_every_form_is_read_back_as_it_was(rows: Data, tmp_path: Path, name: str) -> None:
    assert rows.export("t", tmp_path / name) == N * 9 // 10
    again = rows.add("again", tmp_path / name)

    assert again.digest == rows.version("t").digest
    assert [file.name for file in tmp_path.iterdir() if file.is_file()] == [name]


def test_some_columns_of_some_rows(rows: Data, tmp_path: Path) -> None:
    assert rows.export("t", tmp_path / "t.csv", columns=["name", "id"], where="id < 10 -- few") == 9
    found = to_arrow(tmp_path / "t.csv")
    assert found.column_names == ["name", "id"]
    assert found.column("id").to_pylist() == [0, 1, 2, 4, 5, 6, 7, 8, 9]
    assert rows.export("t", tmp_path / "none.parquet", where="id < 0") == 0
    assert to_arrow(tmp_path / "none.parquet").column_names == ["id", "name", "at"]


def test_what_cannot_be_written_leaves_what_was_there(rows: Data, tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("before")

    with pytest.raises(QueryError, match="nme"):
        rows.export("t", tmp_path / "t.csv", columns=["nme"])
    with pytest.raises(QueryError, match="Conversion Error"):
        rows.export("t", tmp_path / "t.csv", where="name::INTEGER > 3")
    with pytest.raises(UnsupportedTargetError, match=r"\.parquet"):
        rows.export("t", tmp_path / "t.xlsx")
    with pytest.raises(UnsupportedTargetError, match="there is no folder"):
        rows.export("t", tmp_path / "no" / "t.csv")
    assert [file.name for file in tmp_path.iterdir() if file.is_file()] == ["t.csv"]
    assert (tmp_path / "t.csv").read_text() == "before"
