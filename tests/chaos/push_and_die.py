"""Push a dataset and die at the n-th write to the remote: `push_and_die.py HOME REMOTE NUMBER`, 0 for no death."""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from everloop.data.service import Data
from everloop.kernel.objects.files.local import LocalFiles
from everloop.kernel.runtime import open_kernel
from everloop.kernel.settings import Settings

if TYPE_CHECKING:
    from collections.abc import Sequence

    from typing_extensions import Buffer


def main() -> None:
    """Push, and say how many writes there were."""
    home, remote, number = Path(sys.argv[1]), sys.argv[2], int(sys.argv[3])
    kernel = open_kernel(Settings(home=home))
    writes = 0
    usual = LocalFiles.write

    def write(self: LocalFiles, name: str, pieces: Sequence[Buffer], *, durable: bool) -> None:
        nonlocal writes
        writes += self.place == str(Path(remote).absolute())
        if writes == number:
            os.kill(os.getpid(), signal.SIGKILL)
        usual(self, name, pieces, durable=durable)

    LocalFiles.write = write  # type: ignore[method-assign]  # the fault
    Data(kernel).push("t", remote)
    print(writes)  # noqa: T201 - the test reads it
    kernel.close()


if __name__ == "__main__":
    main()
