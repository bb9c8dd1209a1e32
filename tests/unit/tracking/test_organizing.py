"""Names, notes, tags and trash of runs and experiments."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from everloop.tracking import Tracking
from everloop.tracking.organizing import (
    ExperimentDeletedError,
    ExperimentExistsError,
    ExperimentNotFoundError,
)
from everloop.tracking.recording import RunDeletedError

if TYPE_CHECKING:
    from everloop.core.clock import ManualClock
    from everloop.kernel.operations import Kernel


@pytest.fixture
def tracking(any_kernel: Kernel) -> Tracking:
    return Tracking(any_kernel)


def test_people_name_runs_and_write_about_them(tracking: Tracking) -> None:
    run = tracking.create_run(id="r", tags={"old": "1", "kept": "2"}).id
    edited = tracking.edit_run(
        run, name="best", note="watch **this**", tags={"new": "3"}, remove_tags=["old", "none"]
    )
    assert (edited.name, edited.note, edited.tags) == ("best", "watch **this**", {"kept": "2", "new": "3"})
    assert [event.kind for event in tracking.kernel.events.read(subject="run:r")][-1] == "run.edited"


def test_a_run_in_the_trash_is_not_listed_takes_no_values_and_comes_back_whole(tracking: Tracking) -> None:
    run = tracking.create_run(id="r", params={"depth": 3}).id
    assert tracking.delete_run(run).deleted_at is not None
    assert tracking.list() == []
    for write in (
        lambda: tracking.log_batch(run, params={"a": 1}),
        lambda: tracking.finish_run(run),
        lambda: tracking.edit_run(run, name="x"),
        lambda: tracking.create_run(id=run),
    ):
        with pytest.raises(RunDeletedError, match="runs restore r"):
            write()
    back = tracking.restore_run(run)
    assert (back.deleted_at, back.params) == (None, {"depth": 3})
    assert [one.id for one in tracking.list()] == [run]


def test_an_experiment_takes_its_runs_to_the_trash_and_back_but_not_those_that_were_there(
    tracking: Tracking, clock: ManualClock
) -> None:
    for run in ("a", "b"):
        tracking.create_run(id=run, experiment="e")
    tracking.delete_run("a")
    clock.advance(1)
    tracking.delete_experiment("e")
    with pytest.raises(ExperimentDeletedError, match="restore-experiment e"):
        tracking.create_run(id="c", experiment="e")
    with pytest.raises(ExperimentDeletedError):
        tracking.restore_run("b")
    assert tracking.experiments() == []
    assert [one.name for one in tracking.experiments(deleted=True)] == ["e"]

    assert tracking.restore_experiment("e").runs == 1
    assert [one.id for one in tracking.list(experiment="e")] == ["b"]


def test_an_experiment_keeps_its_id_and_runs_under_a_new_name(tracking: Tracking) -> None:
    before = tracking.create_experiment("old", tags={"team": "risk"})
    tracking.create_run(id="r", experiment="old")
    after = tracking.edit_experiment("old", name="new", tags={"x": "y"}, remove_tags=["team"])
    assert (after.id, after.runs, after.tags) == (before.id, 1, {"x": "y"})
    assert tracking.get_run("r").experiment == "new"


def test_a_taken_name_is_refused_also_when_it_is_in_the_trash(tracking: Tracking) -> None:
    tracking.create_experiment("a")
    tracking.create_experiment("b")
    tracking.delete_experiment("a")
    with pytest.raises(ExperimentExistsError):
        tracking.create_experiment("a")
    with pytest.raises(ExperimentExistsError):
        tracking.edit_experiment("b", name="a")
    with pytest.raises(ExperimentNotFoundError, match="no experiment c"):
        tracking.delete_experiment("c")
