"""Media and printed lines: kept once, in order, and found again."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

import msgspec
import numpy as np
import pytest

import everloop as el
from everloop.kernel.system import System
from everloop.tracking import Tracking, keeping, tables
from everloop.tracking.keeping import INLINE_BYTES, BadMediaPointError
from everloop.tracking.records import MediaPoint, PrintedLine
from everloop.tracking.search.language import FilterError

if TYPE_CHECKING:
    from everloop.kernel.operations import Kernel


@pytest.fixture
def tracking(any_kernel: Kernel) -> Tracking:
    return Tracking(any_kernel)


def text(content: str, step: float = 0.0, index: int = 0, name: str = "t") -> MediaPoint:
    return MediaPoint(
        name=name, kind="text", step=step, time=1, index=index, media_type="text/plain",
        content=content.encode(), size_bytes=len(content),
    )  # fmt: skip


def lines(*texts: str) -> list[PrintedLine]:
    return [PrintedLine(at, False, one) for at, one in enumerate(texts)]


def test_values_of_all_kinds_count_their_steps_and_stay_in_order(tracking: Tracking) -> None:
    with tracking.start() as run:
        for step in range(3):
            run.log(loss=1.0, said=f"at {step}", shown=[el.media.Text("a"), el.media.Text("b")])
        run.log({"said": "late"}, step=10)

    assert [(one.name, one.step, one.index) for one in tracking.media(run.id)] == [
        ("said", 0.0, 0), ("said", 1.0, 0), ("said", 2.0, 0), ("said", 10.0, 0),
        ("shown", 0.0, 0), ("shown", 0.0, 1), ("shown", 1.0, 0), ("shown", 1.0, 1), ("shown", 2.0, 0), ("shown", 2.0, 1),
    ]  # fmt: skip
    assert [tracking.read_media(one) for one in tracking.media(run.id, name="said", after=1)] == [
        "at 2",
        "late",
    ]
    assert [one.step for one in tracking.media(run.id, kind="text", until=1, limit=2)] == [0.0, 1.0]
    assert [metric.name for metric in tracking.get_run(run.id).metrics] == ["loss"]
    assert [column.name for column in tracking.run_columns()] == ["loss"]


def test_threads_that_show_at_once_mix_nothing_up(tracking: Tracking) -> None:
    with tracking.start() as run:

        def show(name: str) -> None:
            for _ in range(200):
                run.log({name: [el.media.Text(f"{name}{at}") for at in range(5)]})

        threads = [threading.Thread(target=show, args=[name]) for name in "abcd"]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    for name in "abcd":
        found = tracking.media(run.id, name=name, limit=2000)
        assert [(one.step, one.index, one.content.decode()) for one in found] == [
            (float(step), at, f"{name}{at}") for step in range(200) for at in range(5)
        ]


def test_a_large_content_is_an_object_that_the_run_keeps(tracking: Tracking, any_kernel: Kernel) -> None:
    small, large = b"x" * INLINE_BYTES, b"y" * (INLINE_BYTES + 1)
    with tracking.start() as run:
        run.log(small=el.media.Image(small), large=el.media.Image(large), huge=el.media.Image(b"z" * 100_000))
    found = {one.name: one for one in tracking.media(run.id)}
    assert {name: one.digest is None for name, one in found.items()} == {
        "small": True,
        "large": False,
        "huge": False,
    }
    report = System(any_kernel, roots=[tables.roots]).collect_objects(grace="0s", dry_run=False)
    assert len(report.kept) >= 2
    assert tracking.media_content(found["large"]) == large
    assert tracking.media_content(found["huge"]) == b"z" * 100_000


def test_the_same_step_again_replaces_and_a_batch_again_changes_nothing(tracking: Tracking) -> None:
    tracking.create_run(id="r")
    tracking.log_batch("r", writer="w", sequence=0, media=[text("a"), text("b")], lines=lines("one"))
    tracking.log_batch("r", writer="w", sequence=0, media=[text("c")], lines=lines("one"))
    assert [one.content for one in tracking.media("r")] == [b"b"]
    tracking.log_batch("r", media=[text("d")])
    assert [one.content for one in tracking.media("r")] == [b"d"]
    assert [line.text for line in tracking.output("r")] == ["one"]


@pytest.mark.parametrize(
    "bad",
    [
        text("x", step=float("nan")),
        text("x", index=-1),
        msgspec.structs.replace(text("x"), details={str(at): at for at in range(40)}),
    ],
)
def test_media_that_cannot_be_kept_are_refused_with_their_batch(tracking: Tracking, bad: MediaPoint) -> None:
    tracking.create_run(id="r")
    with pytest.raises(BadMediaPointError):
        tracking.log_batch("r", params={"a": 1}, media=[bad])
    assert tracking.get_run("r").params == {}


def test_lines_are_numbered_over_all_batches_and_read_in_pieces(tracking: Tracking) -> None:
    tracking.create_run(id="r")
    written = [f"line {at} {'x' * (at % 300)}" for at in range(3000)]
    for start in range(0, 3000, 7):
        tracking.log_batch("r", lines=lines(*written[start : start + 7]))
    found = tracking.output("r")
    assert [line.text for line in found] == written
    assert [line.number for line in found] == list(range(3000))
    assert [line.number for line in tracking.output("r", first=1500, limit=3)] == [1500, 1501, 1502]
    assert [line.number for line in tracking.output("r", limit=2, tail=True)] == [2998, 2999]
    assert [line.number for line in tracking.output("r", search="LINE 299 ", limit=2)] == [299]
    assert [line.number for line in tracking.output("r", search="line 2", limit=1, tail=True)] == [2999]
    with tracking.kernel.catalog.read() as connection:
        assert len(list(keeping.read_rows(connection, 1))) < 20


def test_output_is_cut_where_it_is_too_long_and_says_so(
    tracking: Tracking, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(keeping, "MOST_OUTPUT_BYTES", 1000)
    tracking.create_run(id="r")
    for _ in range(5):
        tracking.log_batch("r", lines=lines("y" * 300))
    tracking.log_batch("r", lines=lines("z" * 100_000))
    found = [line.text for line in tracking.output("r")]
    assert found.count("y" * 300) == 4
    assert "left out" in found[-1]
    tracking.create_run(id="long")
    monkeypatch.setattr(keeping, "MOST_OUTPUT_BYTES", 1 << 20)
    tracking.log_batch("long", lines=lines("z" * 100_000))
    assert len(tracking.output("long")[0].text) < 66_000


def test_runs_are_found_by_what_they_printed(tracking: Tracking) -> None:
    for name, said in (("a", ["epoch 1", "CUDA out of memory"]), ("b", ["epoch 1"]), ("silent", [])):
        tracking.create_run(id=name)
        tracking.log_batch(name, lines=lines(*said))

    def ids(filter_text: str) -> list[str]:
        return sorted(run.id for run in tracking.search(filter_text).runs)

    assert ids('"out of memory" in output') == ["a"]
    assert ids('"out of memory" not in output') == ["b"]
    assert ids(r'output =~ "^epoch \\d$"') == ["a", "b"]
    assert ids('not "epoch" in output') == ["silent"]
    with pytest.raises(FilterError, match="only be searched"):
        tracking.search('output == "epoch 1"')
    with pytest.raises(FilterError, match="only be searched"):
        tracking.search(order_by=["output"])


def test_what_a_run_shows_while_its_home_is_away_comes_later(tracking: Tracking) -> None:
    with tracking.start(offline=True, console=True) as run:
        run.log(said="hello", shown=el.media.Image(b"\x89PNG" + b"x" * 100_000), v=np.arange(3))
        print("printed away")  # noqa: T201 - what is kept
    assert [one.status for one in tracking.sync()] == ["sent"]
    assert [(one.name, one.size_bytes) for one in tracking.media(run.id)] == [
        ("said", 5),
        ("shown", 100_004),
        ("v", 24),
    ]
    assert [line.text for line in tracking.output(run.id)] == ["printed away"]
