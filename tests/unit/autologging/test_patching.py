"""Which libraries are followed, and from when on."""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

import everloop as el
from everloop.autologging.patching import UnknownLibraryError

if TYPE_CHECKING:
    from pathlib import Path

PROGRAM = """
import sys
import everloop as el
{before}
el.autolog()
{after}
{library}
import numpy as np
rows = np.arange(40.0).reshape(20, 2)
{fit}
"""


@pytest.mark.parametrize("first", ["library", "autolog"])
@pytest.mark.parametrize(
    ("library", "fit", "metric"),
    [
        ("from sklearn.linear_model import LinearRegression", "LinearRegression().fit(rows, rows[:, 0])", "training/r2"),
        (
            "import lightgbm",
            "lightgbm.train({'verbose': -1, 'min_data_in_leaf': 1}, lightgbm.Dataset(rows, rows[:, 0]), 3)",
            "trees",
        ),
    ],
)  # fmt: skip
def test_the_order_of_imports_does_not_matter(
    tmp_path: Path, library: str, fit: str, metric: str, first: str
) -> None:
    program = PROGRAM.format(
        before=library if first == "library" else "",
        after="" if first == "library" else library,
        library=library,
        fit=fit,
    )
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    with el.connect(home=tmp_path / ".everloop") as app:
        [run] = app.tracking.list()
    assert (run.status, metric in {one.name for one in run.metrics}) == ("finished", True)


def test_asking_for_it_loads_no_library(tmp_path: Path) -> None:
    program = (
        "import sys, everloop as el; el.autolog();"
        "print([name for name in ('sklearn', 'lightgbm', 'numpy', 'pandas', 'torch', 'sqlalchemy') if name in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=tmp_path, capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "[]"
    assert not (tmp_path / ".everloop").exists()


def test_an_unknown_library_is_refused_with_the_nearest_name() -> None:
    with pytest.raises(UnknownLibraryError, match="Do you mean lightgbm"):
        el.autolog(only=["lightgmb"])
