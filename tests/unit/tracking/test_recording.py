"""Batches of values, all or nothing, each once."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

import pytest

from everloop.core.errors import EverloopError
from everloop.tracking import Tracking
from everloop.tracking.naming import BadNameError, TextTooLongError
from everloop.tracking.series.columns import pack

if TYPE_CHECKING:
    from everloop.kernel.operations import Kernel


@pytest.fixture
def tracking(any_kernel: Kernel) -> Tracking:
    return Tracking(any_kernel)


@pytest.mark.parametrize("name", ["", "x" * 251, "a\nb", "a\x00b"])
def test_a_name_that_cannot_be_shown_is_refused_and_nothing_of_the_batch_is_kept(
    tracking: Tracking, name: str
) -> None:
    tracking.create_run(id="r")
    with pytest.raises(BadNameError):
        tracking.log_batch("r", series=[pack(name, [0.0], [0], [1.0])], params={"good": 1})
    assert tracking.get_run("r").params == {}


def test_a_batch_with_one_bad_series_keeps_nothing(tracking: Tracking) -> None:
    tracking.create_run(id="r")
    bad = pack("bad", [float("nan")], [0], [1.0])
    with pytest.raises(EverloopError, match="bad"):
        tracking.log_batch("r", series=[pack("good", [0.0], [0], [1.0]), bad], params={"depth": 1})
    found = tracking.get_run("r")
    assert (found.params, found.metrics) == ({}, [])


def test_a_text_of_a_megabyte_is_refused(tracking: Tracking) -> None:
    tracking.create_run(id="r")
    with pytest.raises(TextTooLongError, match="1,000,000"):
        tracking.log_batch("r", params={"text": "x" * 1_000_000})


def test_an_older_batch_of_a_writer_changes_nothing(tracking: Tracking) -> None:
    tracking.create_run(id="r")
    sent = [
        tracking.log_batch("r", writer="w", sequence=at, series=[pack("loss", [float(at)], [at], [1.0])])
        for at in (0, 1, 0, 1, 2)
    ]
    assert sent == [1, 1, 0, 0, 1]
    assert tracking.last_batch("r", "w") == 2
    assert tracking.last_batch("r", "nobody") == -1


def test_writers_of_one_run_at_a_time_lose_nothing(tracking: Tracking) -> None:
    tracking.create_run(id="r")
    failures: list[BaseException] = []

    def work(writer: str) -> None:
        try:
            for at in range(50):
                tracking.log_batch(
                    "r",
                    writer=writer,
                    sequence=at,
                    series=[pack("loss", [float(at)], [at], [float(len(writer))])],
                )
        except BaseException as error:
            failures.append(error)
            raise

    threads = [threading.Thread(target=work, args=("w" * at,)) for at in range(1, 6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    assert tracking.get_run("r").metrics[0].count == 250
    assert len(tracking.series("r", "loss").steps) == 250
