"""Local copies of objects that lie elsewhere or inside a pack, verified when written, bounded in size.

Tests: tests/unit/kernel/objects/test_cache.py.
"""

from __future__ import annotations

import os
import time
from contextlib import suppress
from typing import TYPE_CHECKING

from everloop.core.ids import new_id
from everloop.kernel.objects.files.local import refuse_full_disk

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from pathlib import Path

    from everloop.core.digests import Digest

DEFAULT_LIMIT = 20 << 30
# A copy handed out this recently may not be open yet, so it stays even over the limit.
_HANDED_OUT_S = 600.0


class LocalCache:
    """Copies of objects as files; the least recently used go when the limit is passed.

    Threads and processes may share the folder.
    """

    def __init__(
        self, folder: Path, *, limit: int = DEFAULT_LIMIT, handed_out_s: float = _HANDED_OUT_S
    ) -> None:
        self._folder = folder
        self._limit = limit
        self._handed_out_s = handed_out_s
        self._size: int | None = None

    def path(self, digest: Digest, size: int, fetch: Callable[[], Iterable[bytes]]) -> Path:
        """Return the local copy; without one, write what `fetch` yields, which is verified or raises."""
        target = self._folder / digest[3:5] / digest[5:]
        with suppress(FileNotFoundError):
            if target.stat().st_size == size:
                os.utime(target)
                return target
        target.parent.mkdir(parents=True, exist_ok=True)
        partial = target.with_name(f"{new_id()}.partial")
        try:
            with refuse_full_disk(str(self._folder)), partial.open("wb") as file:
                file.writelines(fetch())
            partial.chmod(0o444)
            partial.replace(target)
        finally:
            partial.unlink(missing_ok=True)
        self._make_room(size)
        return target

    def forget(self, digest: Digest) -> None:
        """Remove the copy of one object."""
        (self._folder / digest[3:5] / digest[5:]).unlink(missing_ok=True)

    def _make_room(self, added: int) -> None:
        if self._size is not None and self._size + added <= self._limit:
            self._size += added
            return
        copies = sorted(self._copies())
        self._size = sum(size for _, size, _ in copies)
        for used_at, size, path in copies:
            if self._size <= self._limit or used_at > time.time() - self._handed_out_s:
                return
            path.unlink(missing_ok=True)
            self._size -= size

    def _copies(self) -> Iterable[tuple[float, int, Path]]:
        for path in self._folder.glob("??/*"):
            with suppress(FileNotFoundError):
                status = path.stat()
                yield status.st_mtime, status.st_size, path
