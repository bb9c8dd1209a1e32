"""The use of the machine, beside what a run logs."""

from __future__ import annotations

import gc
import time
from typing import TYPE_CHECKING

from everloop.tracking import Tracking
from everloop.tracking.system_metrics import Sampler, Watch

if TYPE_CHECKING:
    from everloop.kernel.operations import Kernel


def test_a_look_finds_memory_processors_disk_and_network() -> None:
    sampler = Sampler()
    ballast = bytearray(50 << 20)
    started = time.process_time()
    while time.process_time() - started < 0.1:
        pass
    found = sampler.look()
    assert found["system/process_memory"] > len(ballast)
    assert found["system/memory"] > found["system/process_memory"] * 0.5
    assert 0 < found["system/process_cpu"] <= 110
    assert 0 <= found["system/disk_used"] <= 100
    assert {"system/cpu", "system/network_in", "system/network_out"} <= found.keys()


def test_a_run_has_the_use_of_the_machine_until_it_ends_and_the_thread_ends_with_it(kernel: Kernel) -> None:
    tracking = Tracking(kernel)
    run = tracking.start(console=False, system_metrics=False)
    watch = Watch()
    watch.add(run, 0.02)
    thread = watch.thread
    assert thread is not None
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        run.flush()
        if any(metric.count > 1 for metric in tracking.get_run(run.id).metrics):
            break
        time.sleep(0.05)
    watch.remove(run)
    run.finish()
    found = {metric.name: metric.count for metric in tracking.get_run(run.id).metrics}
    assert found["system/process_memory"] > 1
    thread.join(20)
    assert not thread.is_alive()
    assert {metric.name: metric.count for metric in tracking.get_run(run.id).metrics} == found


def test_a_run_that_nobody_holds_ends_its_thread(kernel: Kernel) -> None:
    run = Tracking(kernel).start(console=False, system_metrics=False)
    watch = Watch()
    watch.add(run, 0.02)
    thread = watch.thread
    assert thread is not None
    run.finish()
    del run
    gc.collect()
    thread.join(20)
    assert not thread.is_alive()
