"""Faults on purpose: kill this process at the n-th commit. For chaos tests, ours and those of plug-in authors.

Tests: tests/chaos/test_kill.py.
"""

from __future__ import annotations

import os
import signal
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from everloop.kernel.catalog import Catalog


def kill_at_commit(catalog: Catalog, number: int) -> None:
    """Let this process die by SIGKILL at a commit point.

    Args:
        catalog: whose commits are counted.
        number: which point: 1 is just before the first commit, 2 just after it, 3 just before the second, and so on.
    """
    count = CommitCount(catalog)

    def fire(moment: str) -> None:
        del moment
        if count.points == number:
            os.kill(os.getpid(), signal.SIGKILL)

    catalog.on_commit.append(fire)


class CommitCount:
    """Counts the commit points a catalog passes: two for each commit.

    Attributes:
        points: how many were passed.
    """

    def __init__(self, catalog: Catalog) -> None:
        self.points = 0
        catalog.on_commit.append(self._pass)

    def _pass(self, moment: str) -> None:
        del moment
        self.points += 1
