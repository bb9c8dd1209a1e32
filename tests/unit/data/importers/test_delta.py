"""A Delta table is read from its log: versions, removed files, partitions; what is not understood is refused."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from tests.unit.data.importers.foreign import add, commit

from everloop.data.connectors import to_arrow
from everloop.data.importers.delta import open_delta, read_delta
from everloop.data.importers.errors import NoRepositoryError, UnsupportedFeatureError

if TYPE_CHECKING:
    from pathlib import Path


def test_each_version_has_the_files_that_are_live_in_it(table: Path) -> None:
    found = list(read_delta(table))

    assert [[file.path for file in version.files] for version in found] == [
        ["1.parquet"],
        ["2.parquet", "3.parquet"],
    ]
    assert [version.name for version in found] == ["0", "1"]


def test_rows_have_their_partition_columns(table: Path) -> None:
    found = to_arrow(open_delta(table))

    assert found.column("a").to_pylist() == [3, 4]
    assert [str(value) for value in found.column("day").to_pylist()] == ["None", "2013-01-02"]
    assert to_arrow(open_delta(table, version=0)).column("a").to_pylist() == [1, 2]


def test_deletion_vectors_are_refused_in_words(table: Path) -> None:
    entry = add(table, "4.parquet", [5], None)
    entry["add"]["deletionVector"] = {
        "storageType": "u",
        "pathOrInlineDv": "x",
        "sizeInBytes": 1,
        "cardinality": 1,
    }
    commit(
        table,
        2,
        {
            "protocol": {
                "minReaderVersion": 3,
                "minWriterVersion": 7,
                "readerFeatures": ["deletionVectors"],
                "writerFeatures": ["deletionVectors"],
            }
        },
        entry,
    )

    with pytest.raises(UnsupportedFeatureError, match="version 2 .*take another version"):
        open_delta(table)


def test_a_folder_without_a_log_and_a_version_that_is_not_there_are_refused(
    table: Path, tmp_path: Path
) -> None:
    (tmp_path / "plain").mkdir()
    with pytest.raises(NoRepositoryError):
        list(read_delta(tmp_path / "plain"))
    with pytest.raises(NoRepositoryError, match="no version 9"):
        open_delta(table, version=9)
