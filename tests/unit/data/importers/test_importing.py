"""Other systems' versions become ours, with their tags; a stopped import goes on; a stream becomes versions."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest
from tests.unit.data.importers.foreign import Project, add, commit, out

from everloop.data.connectors.errors import UnknownOptionError
from everloop.data.files.bringing import DamagedContentError
from everloop.data.importing import NoSuchFileError
from everloop.data.service import Data

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.conftest import MakeKernel

    from everloop.core.clock import ManualClock


def two_tags(project: Project) -> None:
    kept, one, two = project.cached(b"same"), project.cached(b"a\n1\n"), project.cached(b"a\n1\n2\n")
    large = project.cached(bytes(range(256)) * 40_000)
    members = [{"md5": kept, "relpath": "kept.txt"}, {"md5": large, "relpath": "large.bin"}]
    folder = project.cached(json.dumps(members).encode(), ".dir")
    project.tag("v1", {"rows.csv.dvc": out(one, "rows.csv"), "images.dvc": out(folder, "images")})
    project.tag("release-2", {"rows.csv.dvc": out(two, "rows.csv")})


def test_tags_of_dvc_become_versions_with_their_tags(data: Data, project: Project, tmp_path: Path) -> None:
    two_tags(project)

    found = data.import_dvc("train", project.root)

    assert [version.files for version in found] == [3, 3]
    assert {ref.name: ref.version for ref in data.refs("train")} == {"main": 2, "dvc-v1": 1, "release-2": 2}
    assert found[0].message.startswith("tagged v1 (DVC v1 of ")
    diff = data.diff_files("train@v1", "train")
    assert [(change.kind, change.path) for change in diff.changes] == [("changed", "rows.csv")]
    data.checkout("train@dvc-v1", tmp_path / "out")
    assert (tmp_path / "out" / "rows.csv").read_bytes() == b"a\n1\n"
    assert (tmp_path / "out" / "images" / "large.bin").read_bytes() == bytes(range(256)) * 40_000
    # The large file of the second version is the first one's: nothing of it was stored again.
    assert found[1].stored_bytes < 10_000


def test_a_second_import_adds_only_what_is_new(data: Data, project: Project) -> None:
    two_tags(project)
    data.import_dvc("train", project.root)
    project.tag("v3", {"rows.csv.dvc": out(project.cached(b"a\n3\n"), "rows.csv")})

    found = data.import_dvc("train", project.root)

    assert [version.ref for version in found] == ["train@v1", "train@v2", "train@v3"]
    assert len(data.versions("train")) == 3


def test_one_file_of_dvc_becomes_versions_of_a_table(data: Data, project: Project) -> None:
    two_tags(project)

    found = data.import_dvc("rows", project.root, table="rows.csv")

    assert [version.rows for version in found] == [1, 2]
    assert data.read("rows@release-2").to_arrow().column("a").to_pylist() == [1, 2]
    with pytest.raises(NoSuchFileError, match=r"other\.csv"):
        data.import_dvc("none", project.root, table="other.csv")


def test_a_damaged_file_of_the_cache_is_refused_and_earlier_versions_stay(
    data: Data, project: Project
) -> None:
    two_tags(project)
    md5 = project.cached(b"good")
    project.tag("v3", {"rows.csv.dvc": out(md5, "rows.csv")})
    (project.root / ".dvc" / "cache" / "files" / "md5" / md5[:2] / md5[2:]).write_bytes(b"evil")

    with pytest.raises(DamagedContentError, match=r"rows\.csv is not what its version says"):
        data.import_dvc("train", project.root)
    assert data.version("train").version == 2


def test_versions_of_delta_are_stored_as_edits(data: Data, table: Path) -> None:
    data.import_delta("t", table)
    assert data.read("t").num_rows == 2
    assert data.read("t").to_arrow().column("a").to_pylist() == [3, 4]

    found = data.import_delta("all", table, since=0)
    assert [version.rows for version in found] == [2, 2]
    commit(table, 2, add(table, "4.parquet", [5], None))
    again = data.import_delta("all", table, since=0)
    assert [version.version for version in again] == [1, 2, 3]
    assert data.read("all@delta-0").to_arrow().column("a").to_pylist() == [1, 2]


def test_a_stream_makes_a_version_of_so_many_rows(data: Data) -> None:
    def batches() -> Iterator[list[dict[str, int]]]:
        for start in range(0, 25, 5):
            yield [{"a": number} for number in range(start, start + 5)]

    found = list(data.stream("events", batches(), every_rows=10))

    assert [version.rows for version in found] == [10, 20, 25]
    assert data.read("events").to_arrow().column("a").to_pylist() == list(range(25))
    with pytest.raises(UnknownOptionError, match="how much is one version"):
        data.stream("events", batches())


def test_a_version_ends_by_time_and_what_was_yielded_stays_when_the_source_breaks(
    make_kernel: MakeKernel, clock: ManualClock
) -> None:
    data = Data(make_kernel(clock=clock))

    def batches() -> Iterator[dict[str, list[int]]]:
        for number in range(3):
            clock.advance(seconds=10)
            yield {"a": [number]}
        raise ConnectionError("the broker went away")

    seen = data.stream("events", batches(), every_s=10)
    assert next(seen).rows == 2
    with pytest.raises(ConnectionError):
        next(seen)
    assert data.read("events").num_rows == 2
