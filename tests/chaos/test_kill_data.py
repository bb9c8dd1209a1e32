"""Nothing that a version holds is lost by a kill or by a collection beside a writer."""

from __future__ import annotations

import subprocess
import sys
import threading
from datetime import timedelta
from pathlib import Path

import pytest

from everloop.data.reach import roots
from everloop.data.service import Data
from everloop.data.sharing import NoRemoteBranchError
from everloop.kernel.objects.collection import collect
from everloop.kernel.objects.fsck import check_store
from everloop.kernel.objects.store import ObjectStore
from everloop.kernel.runtime import open_kernel
from everloop.kernel.settings import Settings

pytestmark = [pytest.mark.chaos, pytest.mark.integration, pytest.mark.slow]
PROGRAM = str(Path(__file__).parent / "data_and_die.py")


def start(home: Path, url: str, number: int) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, PROGRAM, str(home), url, str(number)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def store_of(data: Data) -> ObjectStore:
    store = data.kernel.objects
    assert isinstance(store, ObjectStore)
    return store


def test_a_dataset_changed_by_a_killed_process_is_whole_and_goes_on_to_the_same_end(tmp_path: Path) -> None:
    whole = start(tmp_path / "whole", f"sqlite:///{tmp_path / 'whole.db'}", 0)
    assert whole.returncode == 0, whole.stderr
    digest, points = whole.stdout.split()

    for number in range(1, int(points) + 1, 3):
        home, url = tmp_path / f"home{number}", f"sqlite:///{tmp_path / f'{number}.db'}"
        killed = start(home, url, number)
        assert killed.returncode == -9, f"point {number}: {killed.stderr}"
        kernel = open_kernel(Settings(home=home, catalog_url=url))
        data = Data(kernel)
        for dataset in data.list():
            for version in data.versions(dataset.name):
                assert len(data.read(version.ref).to_arrow()) == version.rows
        with kernel.catalog.read() as connection:
            kept = list(roots(connection, kernel.objects))
        collect(store_of(data), kept, grace=timedelta(0), stray_files=True)
        assert check_store(store_of(data)).is_clean
        kernel.close()

        again = start(home, url, 0)
        assert again.returncode == 0, f"point {number}: {again.stderr}"
        assert again.stdout.split()[0] == digest, f"point {number}"


def test_collections_beside_a_writer_remove_nothing_that_is_in_use(tmp_path: Path) -> None:
    kernel = open_kernel(Settings(home=tmp_path / "home"))
    data = Data(kernel)
    data.add("t", {"a": [-1]})
    done = threading.Event()
    removed: list[int] = []

    def collect_again_and_again() -> None:
        while not done.is_set():
            with kernel.catalog.read() as connection:
                kept = list(roots(connection, kernel.objects))
            removed.append(len(collect(store_of(data), kept, grace=timedelta(seconds=2)).removed))

    collector = threading.Thread(target=collect_again_and_again)
    collector.start()
    try:
        for number in range(60):
            data.add("t", {"a": [number]}, mode="append")
            data.add("scratch", {"a": [number]})
    finally:
        done.set()
        collector.join()

    assert data.read("t").to_pandas()["a"].tolist() == list(range(-1, 60))
    for version in data.versions("t", limit=100):
        assert data.read(version.ref).num_rows == len(data.read(version.ref).to_arrow())
    assert len(removed) > 1
    kernel.close()


def push(home: Path, remote: Path, number: int) -> subprocess.CompletedProcess[str]:
    command = [
        sys.executable,
        str(Path(PROGRAM).with_name("push_and_die.py")),
        str(home),
        str(remote),
        str(number),
    ]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_a_push_that_was_killed_shows_nothing_half_and_goes_on(tmp_path: Path) -> None:
    kernel = open_kernel(Settings(home=tmp_path / "ada"))
    data = Data(kernel)
    for number in range(3):
        data.add("t", {"a": list(range(number + 2))})
    digest = data.version("t").digest
    kernel.close()
    writes = int(push(tmp_path / "ada", tmp_path / "whole", 0).stdout)
    assert writes > 4

    for number in range(1, writes + 1):
        remote = tmp_path / f"remote{number}"
        assert push(tmp_path / "ada", remote, number).returncode == -9
        bob = open_kernel(Settings(home=tmp_path / f"bob{number}"))
        with pytest.raises(NoRemoteBranchError):
            Data(bob).pull("t", str(remote))
        assert push(tmp_path / "ada", remote, 0).returncode == 0
        assert Data(bob).pull("t", str(remote)).versions == 3
        assert Data(bob).version("t").digest == digest
        bob.close()
