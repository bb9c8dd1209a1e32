"""Deleted versions come back until their time is over; what is in use cannot be deleted, and quotas hold."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pytest
import sqlalchemy as sa

from everloop.app import App
from everloop.core.clock import ManualClock
from everloop.data.committed import QuotaError
from everloop.data.queries import PurgedError, TrashedError
from everloop.data.retaining import NotInTrashError, RefInUseError, VersionInUseError
from everloop.data.retention.records import Quota, RetentionRule
from everloop.data.tables import part_statistics
from everloop.tracking.records import DatasetInput

if TYPE_CHECKING:
    from pathlib import Path

    from tests.conftest import MakeKernel

START = datetime(2026, 1, 1, tzinfo=UTC)


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock(START)


@pytest.fixture
def app(make_kernel: MakeKernel, clock: ManualClock) -> App:
    return App(make_kernel(clock=clock))


def add(app: App, *numbers: int, branch: str = "main") -> None:
    for number in numbers:
        app.data.add("t", {"a": list(range(number * 1000, number * 1000 + 500))}, branch=branch)


def later(clock: ManualClock, days: float) -> None:
    clock.move_to(clock.now() + timedelta(days=days))


def test_a_deleted_version_is_hidden_and_comes_back_as_it_was(app: App) -> None:
    add(app, 1, 2)
    before = app.data.version("t@v1")

    gone = app.data.delete("t@v1", reason="wrong unit")

    assert (gone.ref, gone.reason, gone.until) == ("t@v1", "wrong unit", START + timedelta(days=14))
    assert [version.version for version in app.data.versions("t")] == [2]
    with pytest.raises(TrashedError, match="everloop data restore t@v1"):
        app.data.read("t@v1")
    with pytest.raises(TrashedError):
        app.data.read("t@main~1")
    assert [one.ref for one in app.data.trash()] == ["t@v1"]

    app.data.restore("t@v1")

    assert app.data.version("t@v1") == before
    assert app.data.read("t@v1").num_rows == 500
    assert app.data.trash() == []
    kinds = [event.kind for event in app.kernel.events.read()]
    assert kinds[-2:] == ["dataset.trashed", "dataset.restored"]


def test_gc_leaves_what_can_be_brought_back_and_removes_it_when_its_time_is_over(
    app: App, clock: ManualClock
) -> None:
    add(app, 1, 2)
    app.data.profile("t@v1")
    app.data.delete("t@v1", grace="3d")
    later(clock, 2.9)

    assert app.system.collect_objects(grace="0s", dry_run=False).removed == []

    later(clock, 0.2)
    told = app.system.collect_objects(grace="0s", dry_run=True)
    done = app.system.collect_objects(grace="0s", dry_run=False)

    assert told.purged == done.purged == ["t@v1"]
    assert sorted(told.removed) == sorted(done.removed) != []
    assert app.data.read("t").num_rows == 500
    with pytest.raises(PurgedError, match="purged on 2026-01-04"):
        app.data.read("t@v1")
    with pytest.raises(NotInTrashError):
        app.data.restore("t@v1")
    with app.kernel.catalog.read() as connection:
        assert connection.execute(sa.select(part_statistics.c.part)).all() == []
    purged = [event for event in app.kernel.events.read() if event.kind == "dataset.purged"]
    assert [event.subject for event in purged] == ["dataset:t@v1"]


def test_what_two_versions_share_stays_when_one_is_purged(app: App, clock: ManualClock) -> None:
    app.data.add("t", {"k": list(range(5000)), "v": [0] * 5000}, keys=["k"])
    app.data.add("t", {"k": [1, 2], "v": [7, 8]}, mode="upsert")
    app.data.delete("t@v1", grace="1d")
    later(clock, 2)

    app.system.collect_objects(grace="0s", dry_run=False)

    assert sorted(app.data.read("t").to_pandas()["v"])[-2:] == [7, 8]
    assert app.data.usage("t").used_bytes >= app.data.version("t").stored_bytes
    assert app.system.check_objects().is_clean


def test_a_version_that_a_branch_tag_or_run_reaches_is_not_deleted(app: App) -> None:
    add(app, 1, 2, 3, 4)
    app.data.tag("t", "gold", at="v1")
    app.data.branch("t", "side", at="v2")
    read = app.data.version("t@v3")
    with app.tracking.start(inputs=[DatasetInput(name="t", ref=read.ref, digest=read.digest)]):
        pass

    for number, why in ((1, "tag gold"), (2, "branch side"), (3, "run:"), (4, "branch main")):
        with pytest.raises(VersionInUseError, match=why):
            app.data.delete(f"t@v{number}")
    app.data.remove_ref("t", "gold")
    assert app.data.delete("t@v1").ref == "t@v1"
    with pytest.raises(RefInUseError):
        app.data.remove_ref("t", "main")


def test_what_two_branches_both_came_from_stays_so_that_they_can_be_merged(
    app: App, clock: ManualClock
) -> None:
    app.data.add("t", {"k": [1, 2], "v": [1, 1]}, keys=["k"])
    app.data.branch("t", "side")
    app.data.add("t", {"k": [1], "v": [5]}, mode="upsert")
    app.data.add("t", {"k": [1], "v": [6]}, mode="upsert")
    app.data.add("t", {"k": [2], "v": [7]}, mode="upsert", branch="side")
    app.data.retain("t", rule=RetentionRule(last=1))

    assert app.system.collect_objects(grace="0s", dry_run=False).trashed == ["t@v2"]
    later(clock, 15)
    assert app.system.collect_objects(grace="0s", dry_run=False).purged == ["t@v2"]

    app.data.merge("t", "side")
    assert app.data.read("t").to_pandas().sort_values("k")["v"].tolist() == [6, 7]


def test_a_rule_names_what_goes_why_the_rest_stays_and_what_comes_free(app: App, clock: ManualClock) -> None:
    add(app, 1, 2, 3)
    app.data.tag("t", "gold", at="v1")
    later(clock, 10)
    add(app, 4)

    found = app.data.retention_plan("t", rule=RetentionRule(last=1, days=5))

    assert [one.ref for one in found.going] == ["t@v2", "t@v3"]
    assert {one.ref: one.why for one in found.kept} == {
        "t@v1": ["tag gold"],
        "t@v4": ["branch main", "among the last 1 of main", "younger than 5 days"],
    }
    app.data.retain("*", rule=RetentionRule(last=1, days=5))
    assert app.system.collect_objects(grace="0s").trashed == ["t@v2", "t@v3"]
    assert app.data.trash() == []
    app.system.collect_objects(grace="0s", dry_run=False)
    later(clock, 15)
    assert app.system.collect_objects(grace="0s", dry_run=False).removed_bytes == found.freed_bytes > 0


def test_a_version_that_came_to_be_needed_in_the_trash_is_not_purged(app: App, clock: ManualClock) -> None:
    add(app, 1, 2)
    read = app.data.version("t@v1")
    app.data.delete("t@v1", grace="1d")
    # A run that had read it before it was deleted, and says so now.
    with app.tracking.start(inputs=[DatasetInput(name="t", ref=read.ref, digest=read.digest)]):
        pass
    later(clock, 2)

    assert app.system.collect_objects(grace="0s", dry_run=False).purged == []
    app.data.restore("t@v1")
    assert app.data.read("t@v1").num_rows == 500


def test_a_dataset_goes_with_all_its_versions_and_its_name_stays_its_own(
    app: App, clock: ManualClock
) -> None:
    add(app, 1, 2)
    app.data.delete_dataset("t")
    assert app.data.list() == []
    with pytest.raises(TrashedError, match="everloop data restore t"):
        add(app, 3)
    app.data.restore("t")
    assert [version.version for version in app.data.versions("t")] == [2, 1]

    app.data.delete_dataset("t", grace="1d")
    later(clock, 2)
    done = app.system.collect_objects(grace="0s", dry_run=False)
    assert done.purged == ["t@v1", "t@v2"]
    assert done.kept == []
    with pytest.raises(PurgedError):
        add(app, 3)


def test_a_quota_is_told_of_once_then_refuses_and_purging_makes_room(app: App) -> None:
    add(app, 1)
    size = app.data.usage("t").used_bytes
    app.data.set_quota("t", quota=Quota(warn_bytes=size + 1, refuse_bytes=int(size * 2.5)))
    add(app, 2)
    told = [event for event in app.kernel.events.read() if event.kind == "dataset.quota_passed"]
    assert [event.subject for event in told] == ["dataset:t"]

    with pytest.raises(QuotaError, match="retention-plan"):
        add(app, 3)
    assert app.data.version("t").version == 2

    app.data.delete("t@v1", grace="0s")
    app.system.collect_objects(grace="0s", dry_run=False)
    add(app, 3)
    assert app.data.read("t").to_pandas()["a"].min() == 3000
    assert len(told) == 1


def test_the_quota_of_all_datasets_counts_them_together(app: App) -> None:
    add(app, 1)
    app.data.set_quota("*", quota=Quota(refuse_bytes=app.data.usage("*").used_bytes + 10))
    with pytest.raises(QuotaError, match="all datasets together"):
        app.data.add("other", {"a": list(range(9000))})


def test_a_purged_version_comes_back_with_a_pull_of_a_branch_that_holds_it(app: App, tmp_path: Path) -> None:
    add(app, 1, 2)
    app.data.branch("t", "old", at="v1")
    app.data.push("t", str(tmp_path / "remote"), branch="old")
    app.data.remove_ref("t", "old")
    app.data.delete("t@v1", grace="0s")
    app.system.collect_objects(grace="0s", dry_run=False)
    with pytest.raises(PurgedError):
        app.data.read("t@v1")

    assert app.data.pull("t", str(tmp_path / "remote"), branch="old").ref == "t@v1"
    assert app.data.read("t@v1").num_rows == app.data.read("t@old").num_rows == 500


def test_the_trash_works_on_both_databases(make_kernel: MakeKernel, catalog_url: str) -> None:
    app = App(make_kernel(catalog_url=catalog_url))
    add(app, 1, 2, 3)
    app.data.retain("t", rule=RetentionRule(last=2))
    assert app.system.collect_objects(grace="0s", dry_run=False).trashed == ["t@v1"]
    app.data.restore("t@v1")
    app.data.delete("t@v1", grace="0s")
    done = app.system.collect_objects(grace="0s", dry_run=False)
    assert done.purged == ["t@v1"]
    assert done.removed != []
    assert app.data.read("t@v2").num_rows == 500
