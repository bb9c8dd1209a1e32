"""A program for test_loop.py: make one pass of the loop and die at a commit point; `python tick_and_die.py HOME POINT`."""

# ruff: noqa: T201 - it speaks by printing

import sys
from pathlib import Path

from everloop.app import connect
from everloop.testing.faults import CommitCount, kill_at_commit

sys.path.insert(0, str(Path(__file__).parent))

with connect(home=sys.argv[1]) as app:
    count = CommitCount(app.kernel.catalog)
    if int(sys.argv[2]):
        kill_at_commit(app.kernel.catalog, int(sys.argv[2]))
    app.loop.tick()
    print(count.points)
