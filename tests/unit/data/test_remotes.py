"""Versions travel between homes through a folder, whole or not at all, and only what is missing."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from everloop.data.remotes import MissingOnRemoteError
from everloop.data.service import Data
from everloop.data.sharing import DivergedError, NoRemoteBranchError, RemoteMovedError

if TYPE_CHECKING:
    from pathlib import Path

    from tests.conftest import MakeKernel


@pytest.fixture
def url(tmp_path: Path) -> str:
    return str(tmp_path / "remote")


@pytest.fixture
def ada(make_kernel: MakeKernel, tmp_path: Path) -> Data:
    return Data(make_kernel(home=tmp_path / "ada"))


@pytest.fixture
def bob(make_kernel: MakeKernel, tmp_path: Path) -> Data:
    return Data(make_kernel(home=tmp_path / "bob"))


def test_a_branch_with_its_history_comes_to_another_home(ada: Data, bob: Data, url: str) -> None:
    ada.add("t", {"k": [1, 2], "v": ["a", "b"]}, keys=["k"], message="first")
    ada.add("t", {"k": [2], "v": ["B"]}, mode="upsert")
    ada.branch("t", "side", at="v1")
    ada.add("t", {"k": [3], "v": ["c"]}, mode="append", branch="side")
    ada.merge("t", "side")

    pushed = ada.push("t", url)
    pulled = bob.pull("t", url)

    assert (pushed.versions, pulled.versions) == (4, 4)
    assert bob.version("t").commit == ada.version("t").commit
    assert bob.version("t").digest == ada.version("t").digest
    assert [version.message for version in bob.versions("t")][-1] == "first"
    assert bob.read("t").to_pandas().sort_values("k")["v"].tolist() == ["a", "B", "c"]
    assert bob.read("t@v1").num_rows == 2
    again = bob.pull("t", url), ada.push("t", url)
    assert [(found.versions, found.objects) for found in again] == [(0, 0), (0, 0)]


def test_only_what_the_other_side_lacks_travels(ada: Data, bob: Data, url: str) -> None:
    ada.add("t", {"a": list(range(1_000))})
    ada.push("t", url)
    bob.pull("t", url)
    bob.add("t", {"a": [-1]}, mode="append")

    pushed, pulled = bob.push("t", url), ada.pull("t", url)

    # the manifest and the part with the new row
    assert (pushed.versions, pushed.objects, pulled.objects) == (1, 2, 2)
    assert ada.read("t").num_rows == 1_001


def test_files_travel_too(ada: Data, bob: Data, url: str, tmp_path: Path) -> None:
    (tmp_path / "images" / "deep").mkdir(parents=True)
    for number in range(30):
        (tmp_path / "images" / "deep" / f"{number}.txt").write_text(str(number))
    ada.add_files("images", tmp_path / "images")

    ada.push("images", url)
    bob.pull("images", url)

    assert bob.checkout("images", tmp_path / "copy").written == 30
    assert (tmp_path / "copy/deep/7.txt").read_text() == "7"
    assert len(list((tmp_path / "remote" / "packs").iterdir())) == 1


def test_two_homes_that_both_moved_are_told_and_can_merge(ada: Data, bob: Data, url: str) -> None:
    ada.add("t", {"k": [1, 2], "v": ["a", "b"]}, keys=["k"])
    ada.push("t", url)
    bob.pull("t", url)
    ada.add("t", {"k": [1], "v": ["A"]}, mode="upsert")
    bob.add("t", {"k": [2], "v": ["B"]}, mode="upsert")
    ada.push("t", url)

    with pytest.raises(RemoteMovedError, match="has versions that are not here"):
        bob.push("t", url)
    with pytest.raises(DivergedError, match="--into theirs"):
        bob.pull("t", url)
    assert bob.get("t").latest == 2
    bob.pull("t", url, into="theirs")
    bob.merge("t", "theirs")
    bob.push("t", url)
    ada.pull("t", url)

    assert ada.read("t").to_pandas().sort_values("k")["v"].tolist() == ["A", "B"]


def test_a_part_that_is_missing_on_the_remote_is_named_and_what_was_here_stays(
    ada: Data, bob: Data, url: str, tmp_path: Path
) -> None:
    ada.add("t", {"a": [1]})
    ada.push("t", url)
    bob.pull("t", url)
    ada.add("t", {"a": [2]})
    ada.push("t", url)
    newest = max((tmp_path / "remote" / "packs").iterdir(), key=lambda path: path.name)
    newest.unlink()

    with pytest.raises(MissingOnRemoteError, match="is missing or damaged on the remote"):
        bob.pull("t", url)
    assert bob.read("t").to_arrow().to_pydict() == {"a": [1]}
    assert bob.get("t").latest == 1


def test_a_branch_that_the_remote_does_not_have_is_named(bob: Data, url: str) -> None:
    with pytest.raises(NoRemoteBranchError, match="has no branch main of dataset t"):
        bob.pull("t", url)


def test_compaction_does_not_change_the_name_of_a_version(ada: Data, bob: Data, url: str) -> None:
    ada.add("t", {"a": list(range(100))})
    ada.remove("t", "a < 50")
    ada.push("t", url)
    bob.pull("t", url)

    assert bob.version("t").commit == ada.version("t").commit
