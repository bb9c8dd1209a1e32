"""The use of the machine while a run goes on: metrics `system/...`, looked at by one thread for all runs of the process.

| metric | unit |
|---|---|
| `system/cpu`, `system/process_cpu` | percent of all processors: of the machine; of this process and its children |
| `system/memory`, `system/process_memory` | bytes in use: of the machine; of this process and its children |
| `system/disk_read`, `system/disk_write`, `system/network_in`, `system/network_out` | bytes a second, of the machine |
| `system/disk_used` | percent of the disk that holds the working folder |
| `system/gpu0`, `system/gpu0_memory`, `system/gpu0_power`, `system/gpu0_temperature` | percent, bytes, watts, degrees Celsius; with `nvidia-ml-py` |

Tests: tests/unit/tracking/test_system_metrics.py.
"""

from __future__ import annotations

import contextlib
import os
import threading
import time
import weakref
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from everloop.tracking.client import ActiveRun

PREFIX = "system/"


class Sampler:
    """Looks at the machine; rates are since the look before. One thread may use it."""

    def __init__(self) -> None:
        import psutil

        self._psutil = psutil
        self._process = psutil.Process()
        self._gpus = list(_gpus())
        self._counted: dict[str, float] = {}
        self._looked_at = 0.0
        self._process_s = 0.0
        self.look()

    def look(self) -> dict[str, float]:
        """Return what is known now, by name of the metric; the first look knows no rates."""
        now = time.monotonic()
        passed = now - self._looked_at
        found = {f"{PREFIX}cpu": self._psutil.cpu_percent(), **self._totals(passed)}
        memory, seconds = self._of_process()
        found[f"{PREFIX}memory"] = float(self._psutil.virtual_memory().used)
        found[f"{PREFIX}process_memory"] = memory
        if self._looked_at:
            share = (seconds - self._process_s) / passed / (os.cpu_count() or 1)
            found[f"{PREFIX}process_cpu"] = max(share, 0.0) * 100
        with contextlib.suppress(OSError):  # a working folder that is gone
            found[f"{PREFIX}disk_used"] = self._psutil.disk_usage(os.curdir).percent
        for at, gpu in enumerate(self._gpus):
            found |= {f"{PREFIX}gpu{at}{name}": value for name, value in gpu().items()}
        self._looked_at, self._process_s = now, seconds
        return found

    def _totals(self, passed: float) -> dict[str, float]:
        """Return the rates of what only rises."""
        counted: dict[str, float] = {}
        disk, network = self._psutil.disk_io_counters(), self._psutil.net_io_counters()
        if disk is not None:
            counted |= {"disk_read": disk.read_bytes, "disk_write": disk.write_bytes}
        if network is not None:
            counted |= {"network_in": network.bytes_recv, "network_out": network.bytes_sent}
        before, self._counted = self._counted, counted
        return {
            f"{PREFIX}{name}": max(value - before[name], 0) / passed
            for name, value in counted.items()
            if name in before
        }

    def _of_process(self) -> tuple[float, float]:
        """Return the bytes and the seconds of this process and its children."""
        memory = seconds = 0.0
        family = [self._process]
        with contextlib.suppress(self._psutil.Error):
            family += self._process.children(recursive=True)
        for member in family:
            with contextlib.suppress(self._psutil.Error), member.oneshot():  # ended meanwhile
                memory += member.memory_info().rss
                times = member.cpu_times()
                seconds += times.user + times.system
        return memory, seconds


def _gpus() -> Iterator[Callable[[], dict[str, float]]]:
    """Yield what looks at each GPU of NVIDIA; nothing without its library or its driver."""
    try:
        import pynvml

        pynvml.nvmlInit()
    except (ImportError, OSError):
        return
    except Exception as error:
        if type(error).__name__.startswith("NVMLError"):  # no driver
            return
        raise
    for at in range(pynvml.nvmlDeviceGetCount()):
        yield _gpu(pynvml, pynvml.nvmlDeviceGetHandleByIndex(at))


def _gpu(nvml: Any, handle: Any) -> Callable[[], dict[str, float]]:  # noqa: ANN401 - of a library without types
    asks: dict[str, Callable[[], float]] = {
        "": lambda: nvml.nvmlDeviceGetUtilizationRates(handle).gpu,
        "_memory": lambda: nvml.nvmlDeviceGetMemoryInfo(handle).used,
        "_power": lambda: nvml.nvmlDeviceGetPowerUsage(handle) / 1000,
        "_temperature": lambda: nvml.nvmlDeviceGetTemperature(handle, nvml.NVML_TEMPERATURE_GPU),
    }

    def look() -> dict[str, float]:
        found = {}
        for name, ask in asks.items():
            with contextlib.suppress(nvml.NVMLError):  # not every device knows everything
                found[name] = float(ask())
        return found

    return look


class Watch:
    """One thread for all runs of the process; it ends with the last of them. A run that is forgotten is not kept alive."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._runs: weakref.WeakKeyDictionary[ActiveRun, float] = weakref.WeakKeyDictionary()
        self._wake = threading.Event()
        self._pid = 0
        self.thread: threading.Thread | None = None

    def add(self, run: ActiveRun, every_s: float) -> None:
        """Log the use of the machine to a run from now on."""
        with self._lock:
            self._runs[run] = every_s
            # A forked child has no thread.
            if self.thread is None or not self.thread.is_alive() or self._pid != os.getpid():
                self._pid = os.getpid()
                self._wake = threading.Event()
                self.thread = threading.Thread(
                    target=self._work, args=[self._wake], name="everloop-system", daemon=True
                )
                self.thread.start()

    def remove(self, run: ActiveRun) -> None:
        """Log nothing more to a run."""
        with self._lock:
            self._runs.pop(run, None)
            if not self._runs:
                self._wake.set()
                self.thread = None

    def _work(self, wake: threading.Event) -> None:
        sampler: Sampler | None = None
        while True:
            with self._lock:
                pauses = list(self._runs.values())
            if not pauses or wake.wait(min(pauses)):
                return
            # Short runs pay nothing: the library is loaded after the first pause.
            if sampler is None:
                sampler = Sampler()
                wake.wait(0.1)
            found = sampler.look()
            with self._lock:
                for run in list(self._runs) if not wake.is_set() else ():
                    run.log(found)


_watch = Watch()


def watch(run: ActiveRun, every_s: float) -> Callable[[], None]:
    """Log the use of the machine to a run from time to time; return what ends it.

    Args:
        run: to log to.
        every_s: pause between two looks, in seconds; with several runs the shortest of theirs.
    """
    _watch.add(run, every_s)
    known = weakref.ref(run)

    def end() -> None:
        if (still := known()) is not None:
            _watch.remove(still)

    return end
