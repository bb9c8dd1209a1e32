"""Versions are immutable, named by content and time, checked before they exist, and never half written."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import TYPE_CHECKING

import pyarrow as pa
import pytest

from everloop.core.errors import NotFoundError
from everloop.data import checks as check
from everloop.data.connectors import EmptySourceError
from everloop.data.queries import DatasetNotFoundError, VersionNotFoundError
from everloop.data.records import Suite
from everloop.data.rules import SchemaMismatchError
from everloop.data.service import Data, EventTimeError, SuiteFailedError
from everloop.data.tables import roots
from everloop.kernel.objects.collection import collect

if TYPE_CHECKING:
    from tests.conftest import MakeKernel

    from everloop.core.clock import ManualClock
    from everloop.kernel.operations import Kernel

ORIGINS = Suite("origins", [check.in_set("o", ["EWR", "JFK"], severity="quarantine"), check.unique("id")])


def kinds(data: Data) -> list[str]:
    return [event.kind for event in data.kernel.events.read()]


def test_the_same_content_makes_no_second_version_and_says_so(data: Data) -> None:
    first = data.add("t", {"a": [1, 2]})
    second = data.add("t", {"a": [1, 2]})

    assert (first.ref, first.is_unchanged) == ("t@v1", False)
    assert (second.ref, second.is_unchanged) == ("t@v1", True)
    assert kinds(data) == ["dataset.versioned"]


def test_a_new_content_makes_a_new_version_and_the_old_one_stays(data: Data) -> None:
    data.add("t", {"a": [1]}, message="first")
    data.add("t", {"a": [2]}, message="second")

    assert [version.message for version in data.versions("t")] == ["second", "first"]
    assert data.read("t@v1").to_arrow().to_pylist() == [{"a": 1}]
    assert data.read("t").to_arrow().to_pylist() == [{"a": 2}]


def test_an_append_shares_the_parts_of_its_parent(data: Data) -> None:
    data.add("t", {"a": [1], "b": ["x"]})
    version = data.add("t", pa.table({"b": ["y"], "a": pa.array([2], pa.int32())}), mode="append")

    assert data.read(version.ref).to_arrow().to_pylist() == [{"a": 1, "b": "x"}, {"a": 2, "b": "y"}]
    found = data.diff("t@v1", "t@v2")
    assert (found.is_append, found.parts_shared, found.rows_old, found.rows_new) == (True, 1, 1, 2)


def test_an_append_to_nothing_is_the_first_version(data: Data) -> None:
    assert data.add("t", {"a": [1]}, mode="append").ref == "t@v1"


def test_an_append_of_another_shape_is_refused_and_nothing_is_written(data: Data) -> None:
    data.add("t", {"a": [1]})

    with pytest.raises(SchemaMismatchError, match="unknown: b"):
        data.add("t", {"b": [1]}, mode="append")
    with pytest.raises(SchemaMismatchError, match="do not fit"):
        data.add("t", {"a": ["text"]}, mode="append")
    assert data.get("t").latest == 1


def test_a_replacement_may_have_another_schema_and_the_diff_shows_it(data: Data) -> None:
    data.add("t", {"a": [1], "gone": [1]})
    data.add("t", {"a": ["x"], "new": [1]})

    found = data.diff("t@v1", "t")

    assert ([c.name for c in found.columns_added], [c.name for c in found.columns_removed]) == (
        ["new"],
        ["gone"],
    )
    assert found.types_changed == {"a": ("int64", "string")}


def test_a_failed_check_writes_nothing(data: Data) -> None:
    with pytest.raises(SuiteFailedError, match=r"unique\(id\): 1 of 2 rows.*Nothing was written"):
        data.add("t", {"id": [1, 1], "o": ["EWR", "JFK"]}, suite=ORIGINS)

    assert data.list() == []
    assert kinds(data) == []


def test_bad_rows_go_to_the_quarantine_with_their_reason(data: Data) -> None:
    rows = {"id": [1, 2], "o": ["EWR", "XXX"]}
    version = data.add("t", rows, suite=ORIGINS)

    assert (version.rows, version.quarantine) == (1, "t.quarantine@v1")
    assert data.read(version.quarantine).to_arrow().to_pylist() == [
        {"id": 2, "o": "XXX", "quarantine_reason": "in_set(o, ['EWR', 'JFK'])"}
    ]
    assert sorted(kinds(data)) == ["dataset.checked", "dataset.quarantined", "dataset.versioned"]
    assert data.add("t", rows, suite=ORIGINS).is_unchanged
    assert len(data.quarantine("t")) == 1


def test_a_date_names_the_version_of_that_moment(make_kernel: MakeKernel, clock: ManualClock) -> None:
    data = Data(make_kernel(clock=clock))
    data.add("t", {"a": [1]})
    clock.advance(86_400)
    data.add("t", {"a": [2]})

    assert data.version("t@2013-02-01").version == 1
    assert data.version("t@2013-02-02").version == 2
    with pytest.raises(VersionNotFoundError, match="did not have a version at 2013-01-31"):
        data.version("t@2013-01-31")


def test_nothing_sees_a_version_added_after_as_of(make_kernel: MakeKernel, clock: ManualClock) -> None:
    data = Data(make_kernel(clock=clock))
    data.add("t", {"a": [1]})
    past = clock.now() + timedelta(hours=1)
    clock.advance(86_400)
    data.add("t", {"a": [2]})

    assert data.read("t", as_of=past).to_arrow().to_pylist() == [{"a": 1}]
    assert data.profile("t", as_of=past).column("a").maximum == 1
    for ref in ("t@v2", "t@v9"):
        with pytest.raises(NotFoundError):
            data.read(ref, as_of=past)


def test_an_unknown_dataset_or_version_is_named(data: Data) -> None:
    with pytest.raises(DatasetNotFoundError, match="everloop data ls"):
        data.read("nothing")
    data.add("t", {"a": [1]})
    with pytest.raises(VersionNotFoundError, match="latest is 1"):
        data.read("t@v2")


def test_a_source_without_rows_is_refused(data: Data) -> None:
    with pytest.raises(EmptySourceError, match="has no rows"):
        data.add("t", pa.table({"a": pa.array([], pa.int64())}))
    assert data.list() == []


def test_the_event_time_must_be_a_time_and_is_inherited(data: Data) -> None:
    rows = pa.table({"t": pa.array([0], pa.timestamp("s")), "a": [1]})
    with pytest.raises(EventTimeError, match="there are: t"):
        data.add("e", rows, event_time="a")

    data.add("e", rows, event_time="t")
    assert data.add("e", rows, mode="append").event_time == "t"


def test_parallel_appends_lose_no_row(data: Data) -> None:
    data.add("t", {"a": [0]})
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda number: data.add("t", {"a": [number]}, mode="append"), range(1, 5)))

    assert sorted(data.read("t").to_pandas()["a"]) == [0, 1, 2, 3, 4]
    assert data.get("t").latest == 5


def test_a_check_of_a_version_is_kept(data: Data) -> None:
    data.add("t", {"id": [1], "o": ["XXX"]})

    run = data.check("t", suite=ORIGINS)

    assert run.result.verdict == "warned"
    assert data.checks("t") == [run]


def test_a_profile_is_computed_once_for_a_content(data: Data) -> None:
    data.add("t", {"a": [1]})

    assert data.profile("t") == data.profile("t@v1")


def test_the_parts_of_every_version_are_roots(data: Data, kernel: Kernel) -> None:
    data.add("t", {"a": [1]})
    data.add("t", {"a": [2]})
    with kernel.catalog.read() as connection:
        found = list(roots(connection))

    assert sorted(why for _, why in found) == ["dataset:t@v1", "dataset:t@v2"]
    assert collect(kernel.objects, found, grace=timedelta(0)).removed == []  # type: ignore[arg-type]  # the local store


def test_the_stage_works_on_both_databases(any_kernel: Kernel) -> None:
    data = Data(any_kernel)
    data.add("t", {"id": [1, 2], "o": ["EWR", "XXX"]}, suite=ORIGINS)
    data.add("t", {"id": [3], "o": ["JFK"]}, mode="append")

    assert data.read("t").num_rows == 2
    assert data.profile("t").rows == 2
