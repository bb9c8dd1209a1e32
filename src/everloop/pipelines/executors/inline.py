"""Run steps in the engine's own process and thread, one after the other. Tests: tests/contract/test_executors.py."""

from __future__ import annotations

from typing import TYPE_CHECKING

from everloop.pipelines.attempts import make_attempt
from everloop.pipelines.spools import open_spool

if TYPE_CHECKING:
    from everloop.pipelines.executors.protocol import ExecutorContext, Outcome, Task
    from everloop.pipelines.steps import AnyStep


class InlineExecutor:
    """Runs a task inside `wait`. A time-out is noticed when the step returns: a thread cannot be ended from outside."""

    def __init__(self, context: ExecutorContext) -> None:
        self._context = context
        self._waiting: list[Task] = []

    def capacity(self) -> int:
        """Return 1 when nothing waits."""
        return 0 if self._waiting else 1

    def start(self, task: Task) -> None:
        """Keep the task for `wait`."""
        self._waiting.append(task)

    def wait(self, timeout_s: float) -> list[Outcome]:
        """Run what was started."""
        del timeout_s
        tasks, self._waiting = self._waiting, []
        return [self._make(task) for task in tasks]

    def _make(self, task: Task) -> Outcome:
        spool = open_spool(self._context.kernel.home, task.run, task.node, task.attempt)
        return make_attempt(self._step(task.node).function, task, self._context.store, spool=spool)

    def _step(self, node: str) -> AnyStep:
        # An item of a map, `score[3]`, runs the step of its map.
        return self._context.steps.get(node) or self._context.steps[node.rpartition("[")[0]]

    def close(self) -> None:
        """Forget what waits."""
        self._waiting.clear()
