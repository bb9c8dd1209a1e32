"""Sixteen processes that claim ten thousand waiting runs: each run is claimed once, by one of them."""

from __future__ import annotations

import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import sqlalchemy as sa

from everloop.core.ids import new_id
from everloop.pipelines import queries
from everloop.pipelines.records import RunOptions
from everloop.pipelines.tables import pipeline_run

if TYPE_CHECKING:
    from everloop.kernel.operations import Kernel

pytestmark = [pytest.mark.chaos, pytest.mark.integration, pytest.mark.slow]
PROGRAM = str(Path(__file__).parent / "claimers.py")
CLAIMERS, TASKS, PRIORITIES = 16, 10_000, 3


def submit(kernel: Kernel, count: int) -> set[str]:
    """Queue copies of one run, of several priorities, in one transaction."""
    first, *others = sorted(new_id() for _ in range(count))
    with kernel.catalog.transaction() as connection:
        queries.insert_run(
            connection,
            run_id=first,
            name="task",
            now=kernel.clock.now(),
            options=RunOptions(),
            requested={},
            bundle="b3:none",
        )
        row = dict(connection.execute(sa.select(pipeline_run)).one()._mapping)
        copies = [{**row, "id": other, "rank": -(place % PRIORITIES)} for place, other in enumerate(others)]
        connection.execute(pipeline_run.insert(), copies)
        # What PostgreSQL does by itself within a minute: without figures of the table it sorts all that waits.
        connection.execute(sa.text("ANALYZE"))
    return {first, *others}


def test_sixteen_processes_claim_each_of_ten_thousand_runs_once(any_kernel: Kernel, tmp_path: Path) -> None:
    ids = submit(any_kernel, TASKS)
    settings = any_kernel.settings
    folder = tmp_path / "claims"
    folder.mkdir()

    command = [sys.executable, PROGRAM, str(settings.home), settings.catalog_address, str(CLAIMERS)]
    done = subprocess.run([*command, str(folder)], capture_output=True, text=True, timeout=180, check=False)

    assert done.returncode == 0, done.stderr
    lines = [file.read_text(encoding="utf-8").split() for file in folder.iterdir()]
    claims = Counter(word for words in lines for word in words[::2])
    assert claims.keys() == ids
    assert set(claims.values()) == {1}
    assert {fence for words in lines for fence in words[1::2]} == {"1"}
    assert len(lines) == CLAIMERS
    assert all(lines), "every process got some"
    with any_kernel.catalog.read() as connection:
        ends = connection.execute(
            sa.select(pipeline_run.c.status, pipeline_run.c.fence, sa.func.count()).group_by(
                pipeline_run.c.status, pipeline_run.c.fence
            )
        ).all()
    assert [tuple(row) for row in ends] == [("finished", 1, TASKS)]
