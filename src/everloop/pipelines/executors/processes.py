"""The processes that belong to an attempt: find them, measure them, end them.

A worker leads a session of its own and carries a mark in its environment. What a step starts is found by any of: the
worker's group or session, descent from a process already found, the mark. So a child that made a session of its own, or
whose parent is gone, is found too; only one that left the session, was orphaned and cleared its environment escapes.

psutil would do the reading of /proc, but nothing else here needs it. Systems without /proc are asked through `ps`, which
shows no marks. Tests: tests/integration/test_bad_steps.py.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

MARK = "EVERLOOP_WORKER"
_PROC = Path("/proc")
_HAS_PROC = (_PROC / "self" / "stat").exists()
# A process can start another between two looks; after so many rounds of killing what is found none is left in practice.
_ROUNDS = 50
_ROUND_S = 0.01


@dataclass(frozen=True)
class _Entry:
    """One process of the machine."""

    id: int
    parent: int
    group: int
    session: int
    is_zombie: bool


def members(root: int, mark: str) -> list[int]:
    """Return the processes of a worker, itself included, those that only wait to be collected left out."""
    entries = list(_entries())
    found: set[int] = set()
    for entry in entries:
        if root in {entry.id, entry.group, entry.session} or _carries(entry.id, mark):
            found.add(entry.id)
    has_grown = True
    while has_grown:
        more = {entry.id for entry in entries if entry.parent in found} - found
        found |= more
        has_grown = bool(more)
    return [entry.id for entry in entries if entry.id in found and not entry.is_zombie]


def end(root: int, mark: str, *, spare: int | None = None) -> int:
    """Kill every process of a worker; return how many were found.

    Args:
        root: the worker's id; it may be gone already.
        mark: its mark.
        spare: a process to leave alone: the worker when it ends its own children.
    """
    ended: set[int] = set()
    for _ in range(_ROUNDS):
        alive = [process for process in members(root, mark) if process != spare]
        if not alive:
            break
        for process in alive:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.kill(process, signal.SIGKILL)
        ended.update(alive)
        time.sleep(_ROUND_S)
    return len(ended)


def memory_bytes(root: int, mark: str) -> int:
    """Return the memory of a worker's processes that the system cannot take back: no mapped files, shared pages once.

    A step that maps a stored array of 10 GB uses none of it by this count; its resident set would say 10 GB.
    """
    if not _HAS_PROC:
        return _resident_by_ps(members(root, mark))
    own = _anonymous(root)
    others = [process for process in members(root, mark) if process != root] if has_children(root) else []
    if not others:
        return own
    return sum(_shares(process) for process in (root, *others))


def own_memory_bytes(process: int) -> int:
    """Return the memory of one process, in one cheap read; 0 where that is not known."""
    return _anonymous(process) if _HAS_PROC else 0


def has_children(process: int) -> bool:
    """Say whether a process has children, by the kernel's own list; a kernel without that list says yes."""
    try:
        lists = list((_PROC / str(process) / "task").glob("*/children"))
        return not lists or any(task.read_bytes() for task in lists)
    except OSError:
        return False


def _entries() -> Iterator[_Entry]:
    if not _HAS_PROC:
        yield from _entries_by_ps()
        return
    for name in os.listdir(_PROC):  # noqa: PTH208 - a thousand Path objects would cost more than the reading
        if not name.isdigit():
            continue
        with contextlib.suppress(OSError, ValueError):
            # The name in brackets may hold anything; what follows it is fixed.
            state, parent, group, session = (
                (_PROC / name / "stat").read_text().rpartition(")")[2].split(None, 4)[:4]
            )
            yield _Entry(int(name), int(parent), int(group), int(session), state in {"Z", "X"})


def _entries_by_ps() -> Iterator[_Entry]:
    command = ["ps", "-axo", "pid=,ppid=,pgid=,stat="]
    done = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603 - a fixed command
    for line in done.stdout.splitlines():
        process, parent, group, state = line.split()
        yield _Entry(int(process), int(parent), int(group), int(group), state.startswith("Z"))


def _carries(process: int, mark: str) -> bool:
    if not _HAS_PROC:
        return False
    try:
        return f"{MARK}={mark}".encode() in (_PROC / str(process) / "environ").read_bytes().split(b"\0")
    except OSError:
        return False


def _anonymous(process: int) -> int:
    """Return anonymous and shared memory in bytes: what a process made, not what it mapped from files."""
    try:
        lines = (_PROC / str(process) / "status").read_text().splitlines()
    except OSError:
        return 0
    wanted = ("RssAnon:", "RssShmem:", "VmSwap:")
    return sum(int(line.split()[1]) for line in lines if line.startswith(wanted)) * 1024


def _shares(process: int) -> int:
    """Return a process's share of its memory: pages that a fork shares count once over all who have them."""
    try:
        lines = (_PROC / str(process) / "smaps_rollup").read_text().splitlines()
    except OSError:
        return _anonymous(process)
    wanted = ("Pss_Anon:", "Pss_Shmem:", "SwapPss:")
    return sum(int(line.split()[1]) for line in lines if line.startswith(wanted)) * 1024


def _resident_by_ps(processes: list[int]) -> int:
    if not processes:
        return 0
    command = ["ps", "-o", "rss=", "-p", ",".join(map(str, processes))]
    done = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603 - numbers of ours
    return sum(int(line) for line in done.stdout.split()) * 1024
