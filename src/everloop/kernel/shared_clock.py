"""A clock that all processes of a simulated home share: eight bytes in a mapped file.

A home with the file `clock` lives in simulated time: the demo and `loop replay` move it, the gateway, the scheduler and
every stage read it. Tests: tests/unit/kernel/test_shared_clock.py.
"""

from __future__ import annotations

import mmap
import struct
from typing import TYPE_CHECKING

from everloop.core.clock import from_microseconds, to_microseconds

if TYPE_CHECKING:
    from datetime import datetime
    from pathlib import Path

_FORM = struct.Struct("<q")


class SharedClock:
    """Reads and moves the time of a simulated home. One process moves it; any number read it.

    An aligned eight-byte store is atomic on the machines we run on, so a reader sees the old time or the new one.
    """

    def __init__(self, file: Path) -> None:
        with file.open("r+b") as handle:
            self._memory = mmap.mmap(handle.fileno(), _FORM.size)

    @classmethod
    def create(cls, file: Path, start: datetime) -> SharedClock:
        """Make the file at `start`, or open the one that is there."""
        if not file.exists():
            file.parent.mkdir(parents=True, exist_ok=True)
            partial = file.with_suffix(".partial")
            partial.write_bytes(_FORM.pack(to_microseconds(start)))
            partial.replace(file)
        return cls(file)

    def now(self) -> datetime:
        """Return the simulated time."""
        return from_microseconds(_FORM.unpack_from(self._memory)[0])

    def move_to(self, moment: datetime) -> None:
        """Set the time for all processes.

        Raises:
            ValueError: `moment` is before the present time.
        """
        if moment < self.now():
            raise ValueError(f"a clock never runs backwards: {moment} is before {self.now()}")
        _FORM.pack_into(self._memory, 0, to_microseconds(moment))
