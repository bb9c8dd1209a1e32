"""A worker that was frozen past its lease changes nothing when it wakes; no two claimers get one run."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from everloop.data.service import Data
from everloop.pipelines.leases import claim_next
from everloop.pipelines.service import Pipelines
from everloop.tracking import Tracking

if TYPE_CHECKING:
    from collections.abc import Iterator

    from everloop.kernel.operations import Kernel

pytestmark = [pytest.mark.chaos, pytest.mark.integration, pytest.mark.slow]
HERE = Path(__file__).parent
LEASE_S = "1.0"


@pytest.fixture
def pipelines(any_kernel: Kernel, monkeypatch: pytest.MonkeyPatch) -> Iterator[Pipelines]:
    monkeypatch.syspath_prepend(str(HERE / "project"))
    yield Pipelines(any_kernel, data=Data(any_kernel), tracking=Tracking(any_kernel))
    sys.modules.pop("short", None)


def start_worker(kernel: Kernel) -> subprocess.Popen[str]:
    settings = kernel.settings
    command = [
        sys.executable,
        str(HERE / "programs.py"),
        "work",
        str(settings.home),
        settings.catalog_address,
        LEASE_S,
    ]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)


def wait_for(path: Path) -> None:
    until = time.monotonic() + 30
    while not path.exists():
        assert time.monotonic() < until, f"{path} never came"
        time.sleep(0.02)


def test_a_frozen_worker_changes_nothing_when_it_wakes(pipelines: Pipelines, tmp_path: Path) -> None:
    from short import frozen  # type: ignore[import-not-found] # on the path of this test only

    run = pipelines.submit(frozen, {"folder": str(tmp_path)})
    sleeper = start_worker(pipelines.kernel)
    wait_for(tmp_path / f"began-{sleeper.pid}")
    os.kill(sleeper.pid, signal.SIGSTOP)
    time.sleep(float(LEASE_S) + 0.3)
    other = start_worker(pipelines.kernel)
    wait_for(tmp_path / f"began-{other.pid}")
    (tmp_path / f"go-{other.pid}").touch()
    assert "worked 1" in other.communicate(timeout=30)[0]
    before = (pipelines.get(run.id), pipelines.attempts(run.id), pipelines.tracking.get_run(run.id))

    (tmp_path / f"go-{sleeper.pid}").touch()
    os.kill(sleeper.pid, signal.SIGCONT)
    sleeper.communicate(timeout=30)

    assert (pipelines.get(run.id), pipelines.attempts(run.id), pipelines.tracking.get_run(run.id)) == before
    assert pipelines.result(run.id) == other.pid
    assert [item.status for item in before[1]] == ["lost", "done"]


def test_sixteen_claimers_never_claim_one_run_twice(pipelines: Pipelines) -> None:
    from short import short

    pipelines.register(short)
    ids = {pipelines.submit("short", {"x": number}).id for number in range(200)}
    claimed: list[str] = []

    def claim_all() -> None:
        kernel = pipelines.kernel
        while (lease := claim_next(kernel.catalog, owner="w", now=kernel.clock.now())) is not None:
            claimed.append(lease.run)

    threads = [threading.Thread(target=claim_all) for _ in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert sorted(claimed) == sorted(ids)
