"""A home that trainings are logged to."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import pytest

import everloop as el

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from everloop.app import App
    from everloop.tracking import Run


class Logged:
    """What trainings have logged."""

    def __init__(self, app: App) -> None:
        self.app = app

    def runs(self) -> list[Run]:
        return self.app.tracking.list()

    def run(self) -> Run:
        """Return the only run there is."""
        [found] = self.runs()
        return found

    def metrics(self) -> dict[str, float | None]:
        return {metric.name: metric.value for metric in self.run().metrics}

    def points(self, name: str) -> list[float | None]:
        return [point.value for point in self.app.tracking.history(self.run().id, name=name)]

    def artifacts(self) -> dict[str, bytes]:
        found = self.app.tracking.artifacts(self.run().id)
        return {one.name: self.app.kernel.objects.get(one.digest) for one in found}

    def table(self, name: str) -> dict[str, list[object]]:
        [item] = self.app.tracking.media(self.run().id, name=name)
        found: dict[str, list[object]] = self.app.tracking.read_media(item).to_pydict()
        return found


@pytest.fixture
def logged(tmp_path: Path) -> Iterator[Logged]:
    with el.connect(home=tmp_path / "home") as app:
        el.autolog(app=app)
        try:
            yield Logged(app)
        finally:
            el.autolog(disable=True)


@pytest.fixture
def rows() -> pd.DataFrame:
    """300 rows of two columns, the first of which decides."""
    chance = np.random.default_rng(1)
    return pd.DataFrame({"good": chance.normal(size=300), "noise": chance.normal(size=300)})


@pytest.fixture
def target(rows: pd.DataFrame) -> pd.Series[int]:
    return (rows["good"] > 0).astype(int).rename("late")
