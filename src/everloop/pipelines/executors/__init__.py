"""Executors: what runs an attempt of a step somewhere. One file each, loaded on first use.

The Protocol is in `protocol.py`; its contract suite is `everloop.testing.executors`.
"""

from everloop.pipelines.executors.protocol import Executor, ExecutorContext, Outcome, Task, open_executor

__all__ = ["Executor", "ExecutorContext", "Outcome", "Task", "open_executor"]
