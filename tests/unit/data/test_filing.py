"""Folders are versions like tables: numbered, branched, compared, kept from being collected."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

import pytest

from everloop.data.committed import ShapeError, VersionMovedError
from everloop.data.merging import MergeConflictError
from everloop.data.reach import roots
from everloop.data.service import Data
from everloop.kernel.objects.collection import collect
from everloop.kernel.objects.links import ChangedOriginalError

if TYPE_CHECKING:
    from pathlib import Path

    from everloop.kernel.operations import Kernel


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "images").mkdir()
    for number in range(5):
        (tmp_path / "images" / f"{number}.txt").write_text(str(number))
    return tmp_path / "images"


def test_versions_of_a_folder_are_added_compared_and_written_back(
    any_kernel: Kernel, folder: Path, tmp_path: Path
) -> None:
    data = Data(any_kernel)
    first = data.add_files("images", folder)
    assert data.add_files("images", folder).is_unchanged
    (folder / "1.txt").write_text("one")
    (folder / "2.txt").rename(folder / "two.txt")
    second = data.add_files("images", folder, message="renamed")

    assert (first.files, second.ref, second.shape, second.parent) == (5, "images@v2", "files", 1)
    found = data.diff_files("images@v1", "images")
    assert (found.changed, found.renamed, found.added, found.removed, found.unchanged) == (1, 1, 0, 0, 3)
    assert data.status("images", folder).is_clean
    data.checkout("images@main~1", tmp_path / "old", paths=["1.txt"])
    assert (tmp_path / "old" / "1.txt").read_text() == "1"
    assert [event.kind for event in any_kernel.events.read()] == ["dataset.versioned"] * 2


def test_a_branch_of_files_moves_alone(data: Data, folder: Path) -> None:
    data.add_files("images", folder)
    data.branch("images", "trial")
    (folder / "0.txt").unlink()
    data.add_files("images", folder, branch="trial")

    assert (data.tree("images").files, data.tree("images@trial").files) == (5, 4)


def test_a_table_and_a_folder_are_not_mixed_up(data: Data, folder: Path) -> None:
    data.add_files("images", folder)
    data.add("rows", {"a": [1]})

    with pytest.raises(ShapeError, match="dataset images holds files"):
        data.add("images", {"a": [1]})
    with pytest.raises(ShapeError, match="dataset images holds files"):
        data.read("images")
    with pytest.raises(ShapeError, match="dataset rows holds a table"):
        data.add_files("rows", folder)


def test_whoever_is_slower_is_told(data: Data, folder: Path) -> None:
    tree = data.tree(data.add_files("images", folder).ref)
    (folder / "0.txt").write_text("new")
    data.add_files("images", folder)

    with pytest.raises(VersionMovedError):
        data.commit_tree("images", tree=tree, parent=1)


def test_files_of_any_version_stay_when_objects_are_collected(
    data: Data, kernel: Kernel, folder: Path, tmp_path: Path
) -> None:
    data.add_files("images", folder)
    (folder / "0.txt").write_text("new")
    data.add_files("images", folder)
    with kernel.catalog.read() as connection:
        kept = list(roots(connection, kernel.objects))

    collect(kernel.objects, kept, grace=timedelta(0))  # type: ignore[arg-type]  # the local store

    assert data.checkout("images@v1", tmp_path / "one").written == 5
    assert data.checkout("images@v2", tmp_path / "two").written == 5


def test_linked_files_are_not_copied_and_an_edit_in_place_is_told(
    data: Data, folder: Path, tmp_path: Path
) -> None:
    (folder / "big.bin").write_bytes(bytes(range(256)) * 8_192)
    (folder / "empty").touch()
    version = data.link_files("images", folder)

    assert version.stored_bytes < 10_000
    assert data.link_files("images", folder).is_unchanged
    assert data.checkout("images", tmp_path / "copy").written == 7
    assert (tmp_path / "copy/big.bin").read_bytes() == (folder / "big.bin").read_bytes()

    with (folder / "big.bin").open("r+b") as file:
        file.write(b"edited")
    with pytest.raises(ChangedOriginalError, match=r"big\.bin"):
        data.checkout("images", tmp_path / "other")


def test_the_status_names_linked_files_that_changed_where_they_lie(
    data: Data, folder: Path, tmp_path: Path
) -> None:
    (folder / "big.bin").write_bytes(bytes(range(256)) * 8_192)
    (folder / "sub").mkdir(exist_ok=True)
    (folder / "sub" / "again.bin").write_bytes(bytes(range(256)) * 8_192)
    data.link_files("images", folder)
    data.checkout("images", tmp_path / "copy")
    assert data.status("images", tmp_path / "copy").changed_originals == []

    # Of two files with the same bytes one was linked.
    with (folder / "sub" / "again.bin").open("r+b") as file:
        file.write(b"edited")
    found = data.status("images", tmp_path / "copy")

    assert found.is_clean
    lying = [(one.path, one.original, one.reason) for one in found.changed_originals]
    original = str(folder / "sub" / "again.bin")
    assert lying == [("big.bin", original, "changed"), ("sub/again.bin", original, "changed")]

    # Adding the copy gives the store bytes of its own where it had a link that broke.
    data.add_files("other", tmp_path / "copy")
    assert data.status("images", tmp_path / "copy").changed_originals == []


def test_branches_of_files_merge_path_by_path(data: Data, folder: Path, tmp_path: Path) -> None:
    data.add_files("images", folder)
    data.branch("images", "dev")
    (folder / "1.txt").write_text("dev")
    (folder / "2.txt").unlink()
    data.add_files("images", folder, branch="dev")
    data.checkout("images", tmp_path / "main")
    (tmp_path / "main" / "3.txt").write_text("main")
    data.add_files("images", tmp_path / "main")

    found = data.merge("images", "dev")

    assert (found.changed, found.removed, found.conflicts) == (1, 1, 0)
    assert (found.version.operation, found.version.merged, found.version.files) == ("merge", 2, 4)
    data.checkout("images", tmp_path / "out")
    assert {file.name: file.read_text() for file in (tmp_path / "out").iterdir()} == {
        "0.txt": "0", "1.txt": "dev", "3.txt": "main", "4.txt": "4",
    }  # fmt: skip


def test_files_that_both_sides_changed_are_a_conflict_that_can_be_settled(data: Data, folder: Path) -> None:
    data.add_files("images", folder)
    data.branch("images", "dev")
    for branch in ("main", "dev"):
        (folder / "1.txt").write_text(branch)
        data.add_files("images", folder, branch=branch)

    with pytest.raises(MergeConflictError, match=r"1 files in different ways \(the first: 1\.txt\)"):
        data.merge("images", "dev")
    assert data.version("images").version == 2
    found = data.merge("images", "dev", prefer="theirs")
    assert (found.conflicts, found.sample[0].key["path"]) == (1, "1.txt")
    assert data.version("images").digest == data.version("images@dev").digest


def test_files_go_back_to_an_earlier_version(data: Data, folder: Path) -> None:
    first = data.add_files("images", folder)
    (folder / "1.txt").unlink()
    data.add_files("images", folder)

    back = data.revert("images", "v1")

    assert (back.operation, back.digest, back.stored_bytes) == ("revert", first.digest, 0)
