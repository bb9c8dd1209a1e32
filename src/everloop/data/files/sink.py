"""Where an operation puts objects: bounded batches, written by one thread while the caller reads on.

A batch is one pack and one statement of the catalog, both outside Python's lock. `drain` returns when everything is durable. Do not
use a sink inside a transaction of the same thread: its writer would wait for that transaction. Tests: tests/unit/data/files/test_trees.py,
tests/property/test_trees.py.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

from everloop.core.digests import Digest

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from concurrent.futures import Future
    from types import TracebackType
    from typing import Self

    from typing_extensions import Buffer

    from everloop.kernel.objects import Objects

BATCH = 32 << 20
# So many small objects make a batch too: their rows cost more than their bytes.
_BATCH_OBJECTS = 8_192
# Batches that wait to be written; more would only fill the memory.
_WAITING = 2
# Beyond this many remembered digests the store is asked again.
_REMEMBERED = 1_000_000


class ObjectSink:
    """Collects objects and stores those that are new.

    Attributes:
        stored_bytes: bytes that the store did not have, known after `drain`.
    """

    def __init__(self, objects: Objects) -> None:
        self.stored_bytes = 0
        self._objects = objects
        self._pending: dict[bytes, bytes] = {}
        self._pending_bytes = 0
        self._seen: set[bytes] = set()
        self._writer: ThreadPoolExecutor | None = None
        self._writing: list[Future[int]] = []

    def __enter__(self) -> Self:
        """Return the sink itself."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop the writer; what was not drained may be lost."""
        if self._writer is not None:
            self._writer.shutdown(cancel_futures=True)

    def add(self, raw: bytes, content: bytes) -> None:
        """Take one object by the 32 bytes of its digest."""
        if raw in self._seen:
            return
        self._remember(raw)
        self._pending[raw] = content
        self._pending_bytes += len(content)
        if self._pending_bytes >= BATCH or len(self._pending) >= _BATCH_OBJECTS:
            self._flush()

    def put(self, contents: Mapping[Digest, Buffer], then: Callable[[], None]) -> None:
        """Write one batch of buffers; `then` is called when they may be used again."""
        self._submit(contents, then)

    def drain(self) -> None:
        """Wait until everything taken so far is durable.

        Raises:
            DiskFullError, StoreUnavailableError: as named.
        """
        pending, self._pending, self._pending_bytes = self._pending, {}, 0
        self._wait(0)
        if pending:
            self.stored_bytes += _write(self._objects, _named(pending), _nothing)

    def _flush(self) -> None:
        pending, self._pending, self._pending_bytes = self._pending, {}, 0
        self._submit(_named(pending), _nothing)

    def _submit(self, contents: Mapping[Digest, Buffer], then: Callable[[], None]) -> None:
        if self._writer is None:
            self._writer = ThreadPoolExecutor(1, "everloop-objects")
        self._wait(_WAITING)
        self._writing.append(self._writer.submit(_write, self._objects, contents, then))

    def _wait(self, left: int) -> None:
        while len(self._writing) > left:
            self.stored_bytes += self._writing.pop(0).result()

    def _remember(self, raw: bytes) -> None:
        if len(self._seen) >= _REMEMBERED:
            self._seen.clear()
        self._seen.add(raw)


def _write(objects: Objects, contents: Mapping[Digest, Buffer], then: Callable[[], None]) -> int:
    try:
        new = objects.put_new(contents)
        return sum(memoryview(contents[digest]).nbytes for digest in new)
    finally:
        then()


def _named(pending: Mapping[bytes, bytes]) -> dict[Digest, Buffer]:
    return {Digest("b3:" + raw.hex()): content for raw, content in pending.items()}


def _nothing() -> None:
    """Release nothing: the contents are the sink's own."""
