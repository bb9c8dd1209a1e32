"""Branches move alone, tags never, and main only to what passed."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from everloop.data import checks as check
from everloop.data.branching import NotAncestorError, PublishRefusedError, RefExistsError
from everloop.data.queries import RefNotFoundError, SeveralVersionsError, VersionNotFoundError
from everloop.data.records import Suite
from everloop.data.service import Data
from everloop.tracking.records import DatasetInput
from everloop.tracking.service import Tracking

if TYPE_CHECKING:
    from tests.conftest import MakeKernel

    from everloop.core.clock import ManualClock
    from everloop.kernel.operations import Kernel


def values(data: Data, ref: str) -> list[int]:
    return sorted(map(int, data.read(ref).to_arrow().column("a").to_numpy()))


def test_a_branch_moves_alone(data: Data) -> None:
    data.add("t", {"a": [1]})
    data.branch("t", "trial")
    data.add("t", {"a": [2]}, mode="append", branch="trial")
    data.add("t", {"a": [3]}, mode="append")

    assert (values(data, "t"), values(data, "t@trial")) == ([1, 3], [1, 2])
    assert [(ref.name, ref.version) for ref in data.refs("t")] == [("main", 3), ("trial", 2)]
    assert values(data, "t@trial~1") == [1]


def test_a_tag_never_moves(data: Data) -> None:
    data.add("t", {"a": [1]})
    data.tag("t", "gold")
    data.add("t", {"a": [2]})

    assert values(data, "t@gold") == [1]
    with pytest.raises(RefExistsError, match="has a tag gold already, at version 1"):
        data.tag("t", "gold")


def test_an_unknown_ref_or_too_short_a_history_is_named(data: Data) -> None:
    data.add("t", {"a": [1]})

    with pytest.raises(RefNotFoundError, match="there are: main"):
        data.read("t@trial")
    with pytest.raises(RefNotFoundError, match="no branch or tag trial"):
        data.add("t", {"a": [2]}, branch="trial")
    with pytest.raises(VersionNotFoundError, match="history is shorter"):
        data.read("t@main~1")
    with pytest.raises(VersionNotFoundError, match="run 77 neither added nor read a version"):
        data.read("t@run:77")


def test_a_run_names_what_it_added(data: Data) -> None:
    data.add("t", {"a": [1]}, run="77")
    data.add("t", {"a": [2]}, run="78")

    assert values(data, "t@run:77") == [1]


def test_a_run_that_added_nothing_names_what_it_read(any_kernel: Kernel) -> None:
    data, tracking = Data(any_kernel), Tracking(any_kernel)
    for number in (1, 2, 3):
        data.add("t", {"a": [number]})
    data.add("t.quarantine", {"a": [9]})
    for run, refs in (("one", ["t@v2", "t.quarantine@v1"]), ("two", ["t@v1", "t@v3"])):
        inputs = [DatasetInput(name=ref, ref=ref) for ref in refs]
        with tracking.start(run_id=run, inputs=inputs):
            pass

    assert values(data, "t@run:one") == [2]
    assert values(data, "t.quarantine@run:one") == [9]
    with pytest.raises(SeveralVersionsError, match="v1, v3"):
        data.read("t@run:two")
    data.add("t", {"a": [4]}, run="two")
    assert values(data, "t@run:two") == [4]


def test_main_moves_to_a_branch_only_when_the_suite_passed(any_kernel: Kernel) -> None:
    data = Data(any_kernel)
    data.add("t", {"a": [1]})
    data.set_suite("t", suite=Suite("positive", [check.between("a", 0, None)]))
    data.branch("t", "staging")
    data.add("t", {"a": [-1]}, branch="staging")

    with pytest.raises(
        PublishRefusedError, match=r"did not pass suite positive \(between\(a, 0, None\): 1 of 1 rows\)"
    ):
        data.publish("t", branch="staging")
    assert values(data, "t") == [1]

    data.add("t", {"a": [2]}, branch="staging")
    assert data.publish("t", branch="staging").version == 3
    assert values(data, "t") == [2]
    kinds = [event.kind for event in any_kernel.events.read()]
    assert kinds.count("dataset.published") == 1


def test_main_does_not_lose_versions_to_a_branch(data: Data) -> None:
    data.add("t", {"a": [1]})
    data.branch("t", "staging")
    data.add("t", {"a": [2]}, branch="staging")
    data.add("t", {"a": [3]})

    with pytest.raises(NotAncestorError, match="main of dataset t is at version 3"):
        data.publish("t", branch="staging")


def test_a_date_names_where_main_stood_and_not_what_was_added_elsewhere(
    make_kernel: MakeKernel, clock: ManualClock
) -> None:
    data = Data(make_kernel(clock=clock))
    data.add("t", {"a": [1]})
    data.branch("t", "staging")
    data.add("t", {"a": [2]}, branch="staging")
    clock.advance(86_400)
    data.publish("t", branch="staging")

    assert values(data, "t@2013-02-01") == [1]
    assert values(data, "t@2013-02-02") == [2]
