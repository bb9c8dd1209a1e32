"""Record ids: UUIDv7 as text, so that ids sort by the time they were made (RFC 9562, section 5.7).

Tests: tests/unit/core/test_ids.py.
"""

from __future__ import annotations

import os
import threading
import time
from uuid import UUID

_lock = threading.Lock()
_last_ns = 0


def new_id() -> str:
    """Return a new UUIDv7; ids of one process strictly increase.

    The 12 bits after the milliseconds hold the fraction of a millisecond (RFC 9562, method 3).
    """
    global _last_ns  # noqa: PLW0603 - monotonic state of the process
    with _lock:
        now = max(time.time_ns(), _last_ns + 250)
        _last_ns = now
    milliseconds, rest = divmod(now, 1_000_000)
    fraction = rest * 4096 // 1_000_000
    random = int.from_bytes(os.urandom(8), "big") & ((1 << 62) - 1)
    return str(UUID(int=milliseconds << 80 | 7 << 76 | fraction << 64 | 2 << 62 | random))
