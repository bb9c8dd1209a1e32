"""When values leave a run: at once in the caller's thread, or by a thread that never lets the caller wait.

`Direct` serves steps, whose values are written with their results. `Background` serves training loops: a thread packs twice a second, writes to the
spool, and sends. When the home is away it goes on with the spool alone and tries again; `finish` returns in a stated time whatever
happens. Tests: tests/unit/tracking/test_courier.py, tests/chaos/test_kill_logging.py.
"""

from __future__ import annotations

import atexit
import contextlib
import itertools
import logging
import os
import random
import sys
import threading
import time
import weakref
from collections import deque
from typing import TYPE_CHECKING, Protocol

from everloop.core.errors import EverloopError, UnavailableError
from everloop.core.ids import new_id
from everloop.tracking.buffering import Buffer
from everloop.tracking.delivery import Delivery
from everloop.tracking.spool import Artifact, End, Spool, Start, discard, read_from

if TYPE_CHECKING:
    from pathlib import Path

    from everloop.core.clock import Clock
    from everloop.kernel.objects import Objects
    from everloop.tracking.delivery import Sink
    from everloop.tracking.spool import Entry

_log = logging.getLogger(__name__)
_FLUSH_CALLS = 1000
_FLUSH_S = 1.0
_PACK_EVERY_S = 0.5
# Calls that wait before the thread is woken ahead of its time.
_MANY = 20_000
_SYNC_EVERY_S = 1.0
_SHORTEST_PAUSE_S, _LONGEST_PAUSE_S = 0.5, 30.0
# Entries kept in memory while the home is away; beyond this they are read from the spool again.
_MOST_IN_MEMORY = 32
_RESTART_BYTES = 16 << 20


class Courier(Protocol):
    """Takes what a run logs to its home. Any thread may log; `buffer.add` is all that a call of `log` costs."""

    buffer: Buffer

    def nudge(self) -> None:
        """Look whether something should leave; called after each addition."""
        ...

    def artifact(self, name: str, content: bytes | Path) -> None:
        """Keep an artifact for later, because the home is away."""
        ...

    def flush(self, timeout_s: float = 60.0) -> None:
        """Send what waits; return when it is applied.

        Raises:
            EverloopError: it could not be; it stays and goes with the next flush.
        """
        ...

    def finish(self, status: End) -> None:
        """Send what waits, and the end of the run."""
        ...


class Direct:
    """Sends in the thread that logs."""

    def __init__(self, sink: Sink, objects: Objects, clock: Clock, *, run: str) -> None:
        self.buffer = Buffer(clock)
        self._delivery = Delivery(sink, objects, run=run, writer=new_id())
        self._sequence = 0
        self._unsent: Entry | None = None
        self._flushed_at = time.monotonic()
        self._lock = threading.RLock()

    def nudge(self) -> None:
        """Flush when a thousand calls or a second have gathered."""
        if len(self.buffer) >= _FLUSH_CALLS or time.monotonic() - self._flushed_at > _FLUSH_S:
            self.flush()

    def artifact(self, name: str, content: bytes | Path) -> None:
        """Refuse: a step whose home is away cannot keep what it makes."""
        del content
        raise UnavailableError(
            f"the home is away, and artifact {name} cannot be kept. Run the step again.", subject=name
        )

    def flush(self, timeout_s: float = 60.0) -> None:
        """Send what waits; return when it is applied."""
        del timeout_s
        with self._lock:
            self._flushed_at = time.monotonic()
            while True:
                if self._unsent is None:
                    self._unsent = self.buffer.pack(self._sequence)
                if self._unsent is None:
                    return
                self._delivery.deliver(self._unsent)
                self._unsent = None
                self._sequence += 1

    def finish(self, status: End) -> None:
        """Send what waits, and the end of the run."""
        self.flush()
        self._delivery.deliver(status)


class Background:
    """Sends by a thread of its own, over a spool.

    Attributes:
        sink: see below.

    Args:
        sink, objects, clock: of the home.
        start: the run as it was started.
        folder: of the run's spools.
        is_started: whether the home has the run.
        is_offline: leave everything in the spool.
        patience_s: how long `finish` waits for a home that does not answer.
    """

    def __init__(
        self,
        sink: Sink,
        objects: Objects,
        clock: Clock,
        *,
        start: Start,
        folder: Path,
        is_started: bool,
        is_offline: bool = False,
        patience_s: float = 10.0,
    ) -> None:
        self.buffer = Buffer(clock)
        self._clock, self.sink, self._objects = clock, sink, objects
        self._start, self._folder = start, folder
        self._is_offline, self._patience_s = is_offline, 0.0 if is_offline else patience_s
        self._reset(is_started=is_started)
        _couriers.add(self)
        if not is_started:
            self._wake.set()

    def _reset(self, *, is_started: bool) -> None:
        self._pid = os.getpid()
        self._writer = new_id()
        self._delivery = Delivery(
            self.sink, self._objects, run=self._start.id, writer=self._writer, folder=self._folder
        )
        self._spool: Spool | None = None
        self._has_spool = True
        self._sequence = 0
        # How many entries were kept, how many of them the home has, the first of the others, and the byte of the spool behind those.
        self._written, self._sent = 0, 0
        self._queue: deque[Entry] = deque()
        self._queued_to = 0
        self._packing = threading.RLock()
        self._changed = threading.Condition()
        self._wake = threading.Event()
        self._thread: threading.Thread | None = None
        self._failure: EverloopError | None = None
        self._tries, self._failures, self._next_try = 0, 0, 0.0
        self._has_warned, self._is_closed, self._is_over = False, False, False
        self._synced_at = 0.0
        self._is_started = is_started
        if not is_started:
            self._keep(self._start)
            self._run_thread()

    def renew(self) -> None:
        """Start afresh in a forked child: its parent sends what the parent logged."""
        self.buffer = Buffer(self._clock)
        self._reset(is_started=True)

    # -- the caller's side ---------------------------------------------------------------------------------------

    def nudge(self) -> None:
        """Start the thread with the first value; wake it when very many wait."""
        if self._thread is None:
            self._run_thread()
        if len(self.buffer.calls) > _MANY:
            self._wake.set()

    def artifact(self, name: str, content: bytes | Path) -> None:
        """Keep a copy of the content beside the spool, and send it when the home is back."""
        import shutil

        file = f"{self._writer}.{new_id()}"
        self._folder.mkdir(parents=True, exist_ok=True)
        if isinstance(content, bytes):
            (self._folder / file).write_bytes(content)
            size = len(content)
        else:
            shutil.copyfile(content, self._folder / file)
            size = content.stat().st_size
        with self._packing:
            self._keep(Artifact(name=name, file=file, size_bytes=size))
        self.nudge()

    def flush(self, timeout_s: float = 60.0) -> None:
        """Send what waits; return when it is applied.

        Raises:
            UnavailableError: the home did not answer in time; the values are in the spool and are sent later.
            EverloopError: the home refuses the values.
        """
        with self._packing:
            self._pack()
            goal, tries = self._written, self._tries
        if goal == self._sent or self._is_offline:
            return
        self._hurry()
        with self._changed:
            self._changed.wait_for(
                lambda: self._sent >= goal or (self._tries > tries and self._failure is not None), timeout_s
            )
            if self._sent >= goal:
                return
            raise self._failure or UnavailableError(
                f"the home did not answer within {timeout_s:g} s. The values are kept; `everloop sync` sends them.",
                subject=f"run:{self._start.id}",
            )

    def finish(self, status: End) -> None:
        """Write the end to the spool, and wait for the home as long as was said; say what to do when it stays away."""
        with self._packing:
            if self._thread is None and not len(self.buffer) and self._deliver_at_once(status):
                self._is_closed = self._is_over = True
                return
            self._pack()
            self._keep(status)
            self._is_closed = True
        self._hurry()
        self._wait_for_home()

    def _deliver_at_once(self, status: End) -> bool:
        """Close a run that logged nothing; False when the home is away."""
        try:
            self._delivery.deliver(status)
        except UnavailableError:
            return False
        return True

    def leave(self) -> None:
        """At the end of the process: bring what waits onto the disk, and home if it answers in time."""
        with self._packing:
            if self._is_closed:
                return
            self._pack()
            self._is_closed = True
        if self._sent < self._written:
            self._hurry()
            self._wait_for_home()

    def _wait_for_home(self) -> None:
        with self._changed:
            has_all = self._changed.wait_for(
                lambda: self._sent >= self._written or self._is_over, self._patience_s
            )
            if has_all and not self._is_over:
                return
        self._is_over = True
        with contextlib.suppress(OSError), self._packing:
            self._bring_to_disk()
        reason = f" ({self._failure})" if self._failure is not None else ""
        print(  # noqa: T201 - the last word of a process, and the only way that nothing is lost
            f"everloop: the home does not have all of run {self._start.id} yet{reason}. Nothing is lost: run `everloop sync`.",
            file=sys.stderr,
        )

    def _hurry(self) -> None:
        self._next_try = 0.0
        self._run_thread()
        self._wake.set()

    def _run_thread(self) -> None:
        with self._packing:
            if self._thread is None:
                self._thread = threading.Thread(target=self._work, name="everloop-log", daemon=True)
                self._thread.start()

    # -- the thread's side -----------------------------------------------------------------------------------------

    def _work(self) -> None:
        while not self._is_over:
            self._wake.wait(_PACK_EVERY_S)
            self._wake.clear()
            with self._packing:
                self._pack()
            if self._sent < self._written and time.monotonic() >= self._next_try and not self._is_offline:
                self._send()
            self._tidy()
            if self._is_closed and self._sent >= self._written:
                return

    def _pack(self) -> None:
        while (batch := self.buffer.pack(self._sequence)) is not None:
            self._sequence += 1
            self._keep(batch)
        if time.monotonic() - self._synced_at > _SYNC_EVERY_S:
            self._bring_to_disk()

    def _keep(self, entry: Entry) -> None:
        """Write an entry to the spool, and keep it in memory when all before it that are unsent are there too."""
        is_next = self._sent + len(self._queue) == self._written
        self._write(entry)
        self._written += 1
        if is_next and (len(self._queue) < _MOST_IN_MEMORY or not self._has_spool):
            self._queue.append(entry)
            self._queued_to = self._spool.size_bytes if self._spool is not None else 0

    def _write(self, entry: Entry) -> None:
        if not self._has_spool:
            return
        try:
            if self._spool is None:
                self._spool = Spool(self._folder, self._writer)
                if self._is_started:
                    self._spool.append(self._start)
            self._spool.append(entry)
        except OSError as error:
            # A full disk must not end the training: what is unsent stays in memory, and goes home as long as that answers.
            self._fill(most=None)
            self._has_spool = False
            self._warn(
                f"the spool cannot be written ({error}); values of run {self._start.id} wait in memory"
            )

    def _bring_to_disk(self) -> None:
        self._synced_at = time.monotonic()
        if self._spool is not None:
            self._spool.sync()

    def _fill(self, most: int | None = _MOST_IN_MEMORY) -> None:
        """Read unsent entries that are in the spool alone."""
        if self._spool is None or self._sent + len(self._queue) >= self._written:
            return
        for entry, end in itertools.islice(read_from(self._spool.path, self._queued_to), most):
            self._queue.append(entry)
            self._queued_to = end

    def _send(self) -> None:
        failure: EverloopError | None = None
        try:
            while (entry := self._first()) is not None:
                self._delivery.deliver(entry)
                with self._packing, self._changed:
                    self._queue.popleft()
                    self._sent += 1
                    self._failures = 0
                    self._changed.notify_all()
        except UnavailableError as error:
            failure = error
            pause = min(_SHORTEST_PAUSE_S * 2**self._failures, _LONGEST_PAUSE_S)
            self._next_try = time.monotonic() + pause * random.uniform(0.5, 1.0)  # noqa: S311 - no secret
            self._failures += 1
            self._warn(f"the home is away ({error}); run {self._start.id} goes on, and its values are kept")
        except EverloopError as error:
            # The home refuses: trying again will not help, and the training must not suffer.
            failure = error
            self._next_try = time.monotonic() + _LONGEST_PAUSE_S
            self._warn(f"the home refuses values of run {self._start.id}: {error}")
        with self._changed:
            self._failure = failure
            self._tries += 1
            self._changed.notify_all()

    def _first(self) -> Entry | None:
        with self._packing:
            if not self._queue:
                self._fill()
            return self._queue[0] if self._queue else None

    def _tidy(self) -> None:
        with self._packing:
            if self._spool is None or self._sent < self._written:
                return
            if self._is_closed:
                self._spool.close()
                discard(self._spool.path)
                self._spool = None
            elif self._spool.size_bytes > _RESTART_BYTES:
                self._spool.restart(self._start)
                self._queued_to = self._spool.size_bytes

    def _warn(self, text: str) -> None:
        if not self._has_warned:
            self._has_warned = True
            _log.warning("%s", text)


_couriers: weakref.WeakSet[Background] = weakref.WeakSet()


def leave_all(sink: Sink | None = None) -> None:
    """Bring home what runs logged and have not sent, as far as it answers in time: those of one sink, or all of this process."""
    for courier in list(_couriers):
        if sink is None or courier.sink is sink:
            courier.leave()


def _renew_all() -> None:
    for courier in list(_couriers):
        courier.renew()


atexit.register(leave_all)
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_renew_all)
