"""Only the holder of a lease can write, and a lease passes on when its holder is gone."""

from __future__ import annotations

import os
import subprocess
import sys
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import pytest
import sqlalchemy as sa

from everloop.pipelines.leases import (
    LeaseLostError,
    RunIsTakenError,
    claim,
    claim_next,
    guarded,
    is_dead,
    this_owner,
)
from everloop.pipelines.tables import pipeline_run

if TYPE_CHECKING:
    from tests.unit.pipelines.conftest import Project

    from everloop.kernel.catalog import Catalog
    from everloop.pipelines import Pipelines, leases

NOW = datetime(2013, 2, 1, tzinfo=UTC)
ELSEWHERE = "another-host/1"
FLOW = """
    from everloop.pipelines import pipeline, step
    @step
    def one() -> int:
        return 1
    @pipeline
    def flow() -> int:
        return one()
"""


@pytest.fixture
def queued(pipelines: Pipelines, project: Project) -> str:
    project.write(flow=FLOW)
    return pipelines.submit(project.flow().flow).id


@pytest.fixture
def catalog(pipelines: Pipelines) -> Catalog:
    return pipelines.kernel.catalog


def note_of(catalog: Catalog, run: str) -> str:
    with catalog.read() as connection:
        return str(
            connection.execute(sa.select(pipeline_run.c.note).where(pipeline_run.c.id == run)).scalar_one()
        )


def write_note(catalog: Catalog, lease: leases.Lease, note: str) -> None:
    with guarded(catalog, lease) as connection:
        connection.execute(pipeline_run.update().where(pipeline_run.c.id == lease.run).values(note=note))


def test_a_claimed_run_cannot_be_claimed_again(catalog: Catalog, queued: str) -> None:
    claim(catalog, queued, owner=ELSEWHERE, now=NOW)

    with pytest.raises(RunIsTakenError, match="is running in another-host/1"):
        claim(catalog, queued, owner=this_owner(), now=NOW)
    assert claim_next(catalog, owner=this_owner(), now=NOW) is None


def test_an_expired_lease_passes_on_and_its_old_holder_writes_nothing(catalog: Catalog, queued: str) -> None:
    old = claim(catalog, queued, owner=ELSEWHERE, length_s=-1, now=NOW)

    new = claim(catalog, queued, owner=this_owner(), now=NOW)

    write_note(catalog, new, "mine")
    with pytest.raises(LeaseLostError):
        write_note(catalog, old, "not mine any more")
    assert (new.fence, note_of(catalog, queued)) == (old.fence + 1, "mine")


def test_each_write_renews_the_lease(catalog: Catalog, queued: str) -> None:
    lease = claim(catalog, queued, owner=ELSEWHERE, length_s=60, now=NOW)
    with catalog.transaction() as connection:
        connection.execute(pipeline_run.update().values(lease_until=datetime(2001, 1, 1, tzinfo=UTC)))

    write_note(catalog, lease, "still here")

    assert claim_next(catalog, owner=this_owner(), now=NOW) is None


def test_a_dead_owner_on_this_machine_is_not_waited_for(catalog: Catalog, queued: str) -> None:
    gone = subprocess.Popen([sys.executable, "-c", ""])
    gone.wait()
    owner = f"{this_owner().partition('/')[0]}/{gone.pid}"
    claim(catalog, queued, owner=owner, now=NOW)

    lease = claim(catalog, queued, owner=this_owner(), now=NOW)

    assert lease.fence == 2


def test_only_the_own_machine_can_call_an_owner_dead() -> None:
    assert not is_dead(this_owner())
    assert not is_dead(f"another-host/{os.getpid()}")
    assert not is_dead("nonsense")


def test_a_cancelled_run_takes_no_more_writes(pipelines: Pipelines, catalog: Catalog, queued: str) -> None:
    lease = claim(catalog, queued, owner=this_owner(), now=NOW)

    pipelines.cancel(queued)

    with pytest.raises(LeaseLostError, match="was cancelled"):
        write_note(catalog, lease, "too late")


def test_the_oldest_waiting_run_is_next(pipelines: Pipelines, catalog: Catalog, queued: str) -> None:
    later = pipelines.submit("flow").id

    claimed = [claim_next(catalog, owner=this_owner(), now=NOW) for _ in range(3)]

    assert [lease.run if lease else None for lease in claimed] == [queued, later, None]
