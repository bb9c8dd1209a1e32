"""Runs side by side, and as tables of other libraries."""

from __future__ import annotations

from typing import TYPE_CHECKING

import polars as pl
import pyarrow as pa
import pytest

import everloop as el
from everloop.tracking import Tracking
from everloop.tracking.recording import RunNotFoundError

if TYPE_CHECKING:
    from pathlib import Path

    from everloop.kernel.operations import Kernel


@pytest.fixture
def tracking(kernel: Kernel) -> Tracking:
    return Tracking(kernel)


def test_differences_come_apart_from_what_is_the_same(tracking: Tracking) -> None:
    with tracking.start(name="a", params={"lr": 0.1, "depth": 3, "flag": True}) as one:
        one.log(loss=0.5)
    with tracking.start(name="b", params={"lr": 0.2, "depth": 3, "flag": 1}, tags={"t": "x"}) as other:
        other.log(loss=0.5)

    found = tracking.compare([one.id, other.id])
    assert found.names == ["a", "b"]
    different = {row.field: row.values for row in found.different}
    assert {name: different[name] for name in ("params.lr", "params.flag", "tags.t")} == {
        "params.lr": [0.1, 0.2],
        "params.flag": [True, 1],
        "tags.t": [None, "x"],
    }
    same = {row.field: row.values for row in found.same}
    assert (same["params.depth"], same["metrics.loss"]) == ([3, 3], [0.5, 0.5])
    assert "params.lr" in found._repr_html_()
    with pytest.raises(RunNotFoundError):
        tracking.compare([one.id, "nowhere"])


def test_runs_of_one_name_are_told_apart_by_their_ids(tracking: Tracking) -> None:
    for name in ("x", "y"):
        tracking.create_run(id=name, name="same")
    assert tracking.compare(["x", "y"]).names == ["x", "y"]


def test_what_is_drawn_for_a_notebook_holds_no_markup_of_users(tracking: Tracking) -> None:
    bad = "<script>alert(1)</script>"
    with tracking.start(experiment=bad, name=bad, params={bad: bad}, console=False) as run:
        run.log({bad: 1.0, "nan": float("nan")})
    drawn = tracking.get_run(run.id)._repr_html_() + tracking.compare([run.id])._repr_html_()
    drawn += tracking.runs()._repr_html_()
    assert "<script" not in drawn
    assert "&lt;script&gt;" in drawn
    assert "nan" in drawn


def test_runs_go_to_pandas_polars_and_arrow_with_their_series(tmp_path: Path) -> None:
    with el.connect(home=tmp_path) as app:
        for at in range(3):
            with app.tracking.start(name=f"r{at}", params={"lr": at / 10}) as run:
                for step in range(at + 1):
                    run.log(loss=step * 1.0)
    found = el.runs("params.lr > 0", order_by=["params.lr desc"], home=tmp_path)
    assert len(found) == 2
    assert found.to_pandas()["name"].tolist() == ["r2", "r1"]
    assert found.to_polars()["params.lr"].to_list() == [0.2, 0.1]
    assert pl.DataFrame(found).shape == pl.from_arrow(found.to_arrow()).shape
    points = found.series("loss")
    assert points.column_names == ["run", "step", "time", "value"]
    assert points["run"].to_pylist() == [found.ids[0]] * 3 + [found.ids[1]] * 2
    assert points["value"].to_pylist() == [0.0, 1.0, 2.0, 0.0, 1.0]
    assert points.schema.field("time").type == pa.timestamp("us", "UTC")
    assert found.series("none").num_rows == 0
    nothing = el.runs("params.lr > 5", home=tmp_path)
    assert (len(nothing), nothing.series("loss").num_rows) == (0, 0)
