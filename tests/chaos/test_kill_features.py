"""A materialisation that was killed shows nothing half, and the next one comes to the same end."""

from __future__ import annotations

import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import pyarrow as pa
import pytest

from everloop.data.features.records import FeatureView
from everloop.data.service import Data
from everloop.kernel.runtime import open_kernel
from everloop.kernel.settings import Settings

if TYPE_CHECKING:
    from everloop.kernel.operations import Kernel

pytestmark = [pytest.mark.chaos, pytest.mark.integration, pytest.mark.slow]
PROGRAM = str(Path(__file__).with_name("materialize_and_die.py"))
# More than one transaction of rows.
KEYS = [f"k{number}" for number in range(5_000)]


def start(home: Path, url: str, number: int) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, PROGRAM, str(home), url, str(number)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def rows(value: float, keys: list[str]) -> pa.Table:
    times = pa.array([datetime(2013, 1, 1, tzinfo=UTC)] * len(keys), pa.timestamp("us", tz="UTC"))
    return pa.table({"k": keys, "t": times, "x": [value] * len(keys)})


def prepare(home: Path, url: str) -> Kernel:
    """Make a home whose online rows are those of a version before the latest: one key less, one more, all others changed."""
    kernel = open_kernel(Settings(home=home, catalog_url=url))
    data = Data(kernel)
    data.add("s", rows(1.0, KEYS), event_time="t")
    data.save_view(FeatureView(name="v", source="s", keys=["k"], features={"x": "x"}, event_time="t"))
    data.materialize("v")
    data.add("s", rows(2.0, [*KEYS[1:], "new"]))
    return kernel


def values(kernel: Kernel) -> list[float | None]:
    found: list[float | None] = Data(kernel).online("v", [*KEYS, "new"]).to_arrow().column("x").to_pylist()
    return found


def test_readers_see_the_old_rows_or_the_new_ones_wherever_it_died(tmp_path: Path, catalog_url: str) -> None:
    prepare(tmp_path / "whole", catalog_url).close()
    whole = start(tmp_path / "whole", catalog_url, 0)
    assert whole.returncode == 0, whole.stderr
    points = int(whole.stdout)
    old, new = [*[1.0] * 5_000, None], [None, *[2.0] * 5_000]
    seen = set()
    kernel = open_kernel(Settings(home=tmp_path / "whole", catalog_url=catalog_url))
    data = Data(kernel)
    assert values(kernel) == new

    for number in range(1, points + 1):
        data.add("s", rows(1.0, KEYS) if number % 2 else rows(2.0, [*KEYS[1:], "new"]))
        before, after = (new, old) if number % 2 else (old, new)
        killed = start(tmp_path / "whole", catalog_url, number)
        assert killed.returncode == -9, f"point {number}: {killed.stderr}"
        found = values(kernel)
        assert found in (before, after), f"point {number}"
        seen.add(found == after)
        assert start(tmp_path / "whole", catalog_url, 0).returncode == 0
        assert values(kernel) == after, f"point {number}"
        assert data.parity("v", sample=200).is_same
    assert seen == {True, False}
    kernel.close()
