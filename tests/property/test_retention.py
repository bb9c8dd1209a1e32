"""Collection never removes what a branch, a tag, a run or a model reaches, whatever was deleted, also while a writer runs."""

from __future__ import annotations

import tempfile
import threading
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

from hypothesis import given, settings
from hypothesis import strategies as st

from everloop.app import App
from everloop.core.clock import ManualClock
from everloop.core.errors import ConflictError, NotFoundError
from everloop.data.retention.records import RetentionRule
from everloop.kernel.runtime import open_kernel
from everloop.kernel.settings import Settings
from everloop.tracking.records import DatasetInput

if TYPE_CHECKING:
    from collections.abc import Callable

numbers = st.integers(1, 9)
branches = st.sampled_from(["main", "side"])
steps = st.lists(
    st.one_of(
        st.tuples(st.just("upsert"), branches, numbers),
        st.tuples(st.just("replace"), branches, numbers),
        st.tuples(st.just("branch"), st.just("side"), numbers),
        st.tuples(st.just("tag"), st.sampled_from(["a", "b"]), numbers),
        st.tuples(st.just("read"), st.just(""), numbers),
        st.tuples(st.just("delete"), st.just(""), numbers),
        st.tuples(st.just("restore"), st.just(""), numbers),
        st.tuples(st.just("drop"), st.sampled_from(["side", "a", "b"]), numbers),
        st.tuples(st.just("rule"), st.just(""), st.integers(1, 3)),
        st.tuples(st.just("wait"), st.just(""), st.integers(1, 20)),
        st.tuples(st.just("gc"), st.just(""), numbers),
    ),
    max_size=16,
)


class Model:
    """What each version holds, and which of them something reaches."""

    def __init__(self, app: App, clock: ManualClock) -> None:
        self.app, self.clock = app, clock
        self.held: dict[int, dict[int, int]] = {}
        self.read: set[int] = set()
        app.data.add("t", {"k": list(range(30)), "v": [0] * 30}, keys=["k"])
        self.note()

    def note(self) -> None:
        for version in self.app.data.versions("t", limit=100):
            if version.version not in self.held:
                self.held[version.version] = self.rows(version.version)

    def rows(self, number: int) -> dict[int, int]:
        table = self.app.data.read(f"t@v{number}").to_arrow().to_pydict()
        return dict(zip(table["k"], table["v"], strict=True))

    def take(self, verb: str, name: str, number: int) -> None:
        """Do a step; what the state refuses changes nothing."""
        data, ref = self.app.data, f"t@v{number}"
        fresh = {"k": list(range(number * 100, number * 100 + 9)), "v": [1] * 9}
        does: dict[str, Callable[[], object]] = {
            "upsert": lambda: data.add("t", {"k": [number], "v": [number]}, mode="upsert", branch=name),
            "replace": lambda: data.add("t", fresh, branch=name),
            "branch": lambda: data.branch("t", name, at=f"v{number}"),
            "tag": lambda: data.tag("t", name, at=f"v{number}"),
            "read": lambda: self.use(ref, number),
            "delete": lambda: data.delete(ref, grace="5d"),
            "restore": lambda: data.restore(ref),
            "drop": lambda: data.remove_ref("t", name),
            "rule": lambda: data.retain("t", rule=RetentionRule(last=number)),
            "wait": lambda: self.clock.move_to(self.clock.now() + timedelta(days=number)),
            "gc": lambda: self.app.system.collect_objects(grace="0s", dry_run=False),
        }
        with suppress(ConflictError, NotFoundError):
            does[verb]()
        self.note()

    def use(self, ref: str, number: int) -> None:
        """Let a run read a version."""
        version = self.app.data.version(ref)
        with self.app.tracking.start(inputs=[DatasetInput(name="t", ref=version.ref)]):
            self.read.add(number)

    def check(self) -> None:
        """What is reached holds what it held; the same for all that is shown or can be brought back."""
        heads = {ref.version for ref in self.app.data.refs("t")}
        shown = {version.version for version in self.app.data.versions("t", limit=100)}
        assert heads | self.read <= shown
        for trashed in self.app.data.trash():
            self.app.data.restore(trashed.ref)
            shown.add(int(trashed.ref.removeprefix("t@v")))
        for number in shown:
            assert self.rows(number) == self.held[number]
        assert self.app.system.check_objects().is_clean


@settings(deadline=None, max_examples=40)
@given(steps)
def test_collections_remove_nothing_that_is_reached_or_in_the_trash(
    sequence: list[tuple[str, str, int]],
) -> None:
    clock = ManualClock(datetime(2026, 1, 1, tzinfo=UTC))
    with tempfile.TemporaryDirectory() as folder:
        kernel = open_kernel(Settings(home=Path(folder)), clock=clock)
        model = Model(App(kernel), clock)
        for step in sequence:
            model.take(*step)
        model.take("gc", "", 1)
        model.check()
        kernel.close()


@settings(deadline=None, max_examples=8)
@given(st.lists(st.integers(0, 3), min_size=3, max_size=12), st.integers(1, 3))
def test_the_same_while_collections_run_beside_the_writer(writes: list[int], last: int) -> None:
    with tempfile.TemporaryDirectory() as folder:
        kernel = open_kernel(Settings(home=Path(folder)))
        app = App(kernel)
        rows = {"k": list(range(40)), "v": [0] * 40}
        app.data.add("t", rows, keys=["k"])
        app.data.retain("t", rule=RetentionRule(last=last))
        done, broken = threading.Event(), list[BaseException]()

        def collect() -> None:
            try:
                while not done.is_set():
                    app.system.collect_objects(grace="1s", dry_run=False)
                    for trashed in app.data.trash():
                        app.data.restore(trashed.ref)
                        app.data.delete(trashed.ref, grace="0s")
            except BaseException as error:  # noqa: BLE001 - it is shown by the test
                broken.append(error)

        collector = threading.Thread(target=collect)
        collector.start()
        state = dict.fromkeys(range(40), 0)
        try:
            for place, number in enumerate(writes):
                # A value that comes again finds its object half dead: that is the race.
                app.data.add("t", {"k": [number], "v": [number + 1]}, mode="upsert")
                state[number] = number + 1
                if place % 3 == 2:
                    app.data.add("t", rows)
                    state = dict.fromkeys(range(40), 0)
        finally:
            done.set()
            collector.join()
        assert broken == []
        table = app.data.read("t").to_arrow().to_pydict()
        assert dict(zip(table["k"], table["v"], strict=True)) == state
        for version in app.data.versions("t", limit=100):
            assert len(app.data.read(version.ref).to_arrow()) == 40
        app.system.collect_objects(grace="0s", dry_run=False)
        assert app.system.check_objects().is_clean
        kernel.close()
