"""Arrow files and streams are told apart by their bytes, not by their names."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.feather
import pyarrow.ipc
import pytest

from everloop.data.connectors import UnreadableSourceError, open_source, to_arrow

if TYPE_CHECKING:
    from pathlib import Path

ROWS = pa.table({"a": [1, 2, 3], "b": ["x", None, "z"]})


def write(path: Path, kind: str) -> Path:
    if kind == "feather":
        pa.feather.write_feather(ROWS, str(path))
        return path
    opener = pa.ipc.new_file if kind == "file" else pa.ipc.new_stream
    with opener(str(path), ROWS.schema) as writer:
        writer.write_table(ROWS, max_chunksize=2)
    return path


@pytest.mark.parametrize("name", ["rows.arrow", "rows.feather", "rows.ipc", "rows.arrows"])
@pytest.mark.parametrize("kind", ["file", "stream", "feather"])
def test_files_and_streams_are_read_whatever_their_name(tmp_path: Path, name: str, kind: str) -> None:
    assert to_arrow(write(tmp_path / name, kind)).equals(ROWS)


@pytest.mark.parametrize("kind", ["file", "stream"])
def test_an_arrow_file_that_was_cut_off_is_refused(tmp_path: Path, kind: str) -> None:
    path = write(tmp_path / "rows.arrow", kind)
    path.write_bytes(path.read_bytes()[:-60])

    with pytest.raises(UnreadableSourceError, match=r"rows\.arrow is not a whole Arrow file"):
        to_arrow(path)


def test_a_file_that_is_no_arrow_is_refused(tmp_path: Path) -> None:
    (tmp_path / "rows.arrow").write_bytes(b"something else")

    with pytest.raises(UnreadableSourceError):
        open_source(tmp_path / "rows.arrow")
