"""Let versions go and collect, and die at one commit point or removal of files: `gc_and_die.py HOME URL NUMBER`, 0 for no death."""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from everloop.app import App
from everloop.data.retention.records import RetentionRule
from everloop.kernel.objects.files.local import LocalFiles
from everloop.kernel.runtime import open_kernel
from everloop.kernel.settings import Settings

if TYPE_CHECKING:
    from collections.abc import Iterable


def main() -> None:
    """Collect, and say how many points there were."""
    home, url, number = Path(sys.argv[1]), sys.argv[2], int(sys.argv[3])
    kernel = open_kernel(Settings(home=home, catalog_url=url))
    app = App(kernel)
    points = 0
    usual = LocalFiles.delete

    def die_here() -> None:
        nonlocal points
        points += 1
        if points == number:
            os.kill(os.getpid(), signal.SIGKILL)

    def delete(self: LocalFiles, names: Iterable[str]) -> None:
        for name in names:
            die_here()
            usual(self, [name])

    LocalFiles.delete = delete  # type: ignore[method-assign]  # the fault
    kernel.catalog.on_commit.append(lambda _: die_here())
    app.data.retain("t", rule=RetentionRule(last=2))
    app.system.collect_objects(grace="0s", dry_run=False)
    for one in app.data.trash():
        app.data.restore(one.ref)
        app.data.delete(one.ref, grace="0s")
    app.system.collect_objects(grace="0s", dry_run=False)
    print(points)  # noqa: T201 - the test reads it
    kernel.close()


if __name__ == "__main__":
    main()
