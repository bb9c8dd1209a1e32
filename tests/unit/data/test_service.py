"""Versions are immutable, named by content and time, checked before they exist, and never half written."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pytest
import sqlalchemy as sa

from everloop.core.errors import NotFoundError
from everloop.data import checks as check
from everloop.data.adding import DuplicateKeyError, KeyColumnError
from everloop.data.connectors import EmptySourceError
from everloop.data.queries import DatasetNotFoundError, VersionNotFoundError
from everloop.data.reach import roots
from everloop.data.records import Suite
from everloop.data.rules import SchemaMismatchError
from everloop.data.service import Data, EventTimeError, SuiteFailedError, VersionMovedError
from everloop.data.tables import part_statistics
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
    assert (found.is_append, found.parts.shared, found.rows_old, found.rows_new) == (True, 1, 1, 2)


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

    assert [c.name for c in found.schema.added] == ["new"]
    assert [c.name for c in found.schema.removed] == ["gone"]
    assert found.schema.types_changed == {"a": ("int64", "string")}


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


def test_a_part_is_scanned_once_however_many_versions_hold_it(data: Data) -> None:
    data.add("t", {"a": [1, 5]})
    data.profile("t")
    data.add("t", {"a": [9]}, mode="append")

    assert data.profile("t").column("a").maximum == 9
    with data.kernel.catalog.read() as connection:
        assert len(connection.execute(sa.select(part_statistics.c.part)).all()) == 2


def test_manifests_parts_and_deletions_of_every_version_are_roots(data: Data, kernel: Kernel) -> None:
    data.add("t", {"a": list(range(20))})
    data.remove("t", "a = 3")
    with kernel.catalog.read() as connection:
        found = list(roots(connection, kernel.objects))

    whys = [why for _, why in found]
    assert (whys.count("dataset:t@v1"), whys.count("dataset:t@v2")) == (2, 3)
    assert collect(kernel.objects, found, grace=timedelta(0)).removed == []  # type: ignore[arg-type]  # the local store


def test_the_stage_works_on_both_databases(any_kernel: Kernel) -> None:
    data = Data(any_kernel)
    data.add("t", {"id": [1, 2], "o": ["EWR", "XXX"]}, suite=ORIGINS)
    data.add("t", {"id": [3], "o": ["JFK"]}, mode="append")

    assert data.read("t").num_rows == 2
    assert data.profile("t").rows == 2


def test_the_same_rows_in_another_order_make_no_version(data: Data) -> None:
    data.add("t", {"a": [1, 2, 3]})

    assert data.add("t", {"a": [3, 1, 2]}).is_unchanged


def test_a_rewritten_table_stores_only_the_rows_that_changed(data: Data) -> None:
    rows = {"id": np.arange(50_000), "x": np.random.default_rng(1).normal(size=50_000)}
    first = data.add("t", rows)
    rows["x"] = np.where(rows["id"] % 100 == 7, 0.0, rows["x"])
    second = data.add("t", rows)

    assert second.stored_bytes < 0.03 * first.stored_bytes
    found = data.diff("t@v1", "t@v2", level="rows").rows
    assert found is not None
    assert (found.added, found.removed, found.compared) == (500, 500, 1_000)
    assert data.read("t").to_pandas().sort_values("id")["x"].tolist() == rows["x"].tolist()
    assert data.read("t").sql("SELECT count(*) AS n FROM this").to_arrow().to_pylist() == [{"n": 50_000}]


def test_a_keyed_table_takes_rows_in_place_of_others_and_shows_what_changed(data: Data) -> None:
    data.add("t", {"id": [1, 2, 3], "x": ["a", "b", "c"], "y": [1.0, None, 3.0]}, keys=["id"])
    version = data.add("t", {"id": [2, 4], "x": ["B", "d"], "y": [None, 4.0]}, mode="upsert")

    assert (version.operation, version.keys, version.rows) == ("upsert", ["id"], 4)
    assert sorted(data.read("t").to_pandas()["x"]) == ["B", "a", "c", "d"]
    found = data.diff("t@main~1", "t", level="rows")
    assert found.rows is not None
    assert (found.rows.added, found.rows.removed, found.rows.changed) == (1, 0, 1)
    assert found.rows.changed_columns == {"x": 1}
    assert found.rows.sample[0].before == {"id": 2, "x": "b", "y": None}
    assert found.rows.sample[0].after == {"id": 2, "x": "B", "y": None}


def test_repeated_and_missing_keys_are_refused_and_nothing_is_written(data: Data) -> None:
    with pytest.raises(DuplicateKeyError, match=r"1 keys \(id\) come more than once"):
        data.add("t", {"id": [1, 1]}, keys=["id"])
    with pytest.raises(KeyColumnError, match="there are: a"):
        data.add("t", {"a": [1]}, keys=["id"])
    data.add("t", {"id": [1]}, keys=["id"])
    with pytest.raises(DuplicateKeyError):
        data.add("t", {"id": [1]}, mode="append")
    data.add("u", {"id": [1]})
    with pytest.raises(KeyColumnError, match="has no keys"):
        data.add("u", {"id": [1]}, mode="upsert")
    assert (data.get("t").latest, data.get("u").latest) == (1, 1)


def test_rows_are_removed_by_a_condition_and_come_back_by_revert(data: Data) -> None:
    first = data.add("t", {"a": list(range(20))})
    removed = data.remove("t", "a >= 18")
    again = data.revert("t", "main~1")

    assert (removed.rows, removed.operation) == (18, "delete")
    assert (again.digest, again.manifest, again.stored_bytes) == (
        first.digest,
        first.manifest,
        0,
    )
    assert data.read("t@v2").to_arrow().column("a").to_pylist() == list(range(18))


def test_eight_small_appends_become_one_part(data: Data) -> None:
    for number in range(9):
        data.add("t", {"a": [number]}, mode="append")

    assert len(data.content("t").parts) == 2
    assert data.read("t").to_arrow().column("a").to_pylist() == list(range(9))
    assert data.read("t").digest == data.add("u", {"a": list(range(9))}).digest


def test_two_writers_on_one_branch_one_wins_and_the_other_is_told(data: Data) -> None:
    content = data.content(data.add("t", {"a": [1]}).ref)
    other = data.content(data.add("u", {"a": [2]}).ref)

    assert data.commit_version("t", content=other, parent=1).version == 2
    with pytest.raises(VersionMovedError, match="has moved to version 2 on main since version 1"):
        data.commit_version("t", content=content, parent=1)


def test_thirty_two_adds_at_once_all_succeed(any_kernel: Kernel) -> None:
    data = Data(any_kernel)
    data.add("t", {"a": [-1]})
    with ThreadPoolExecutor(16) as pool:
        list(pool.map(lambda number: data.add("t", {"a": [number]}, mode="append"), range(32)))

    assert sorted(data.read("t").to_pandas()["a"]) == list(range(-1, 32))


def test_a_table_of_which_much_is_dead_is_written_anew_with_the_same_digest(data: Data) -> None:
    data.add("t", {"a": list(range(100))})
    version = data.remove("t", "a < 40")

    assert [(part.rows, part.deleted) for part in data.content("t").parts] == [(60, 0)]
    assert version.digest == data.add("u", {"a": list(range(40, 100))}).digest
