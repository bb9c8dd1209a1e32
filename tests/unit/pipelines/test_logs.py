"""Logs of attempts are read in the same words while they run and afterwards."""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING

import pytest

from everloop.pipelines.logs import AttemptNotFoundError

if TYPE_CHECKING:
    from pathlib import Path

    from tests.unit.pipelines.conftest import Project

    from everloop.pipelines.service import Pipelines

FLOW = """
import pathlib, time
from everloop.pipelines import pipeline, step

@step
def speak(gate: str) -> int:
    print("begun")
    while not pathlib.Path(gate).exists():
        time.sleep(0.01)
    print("Ended")
    return 1

@pipeline
def flow(gate: str) -> int:
    return speak(gate)

@step
def chat(lines: int) -> int:
    for number in range(lines):
        print(f"line {number:06d}")
    return lines

@pipeline
def chatting(lines: int) -> int:
    return chat(lines)
"""


def words(text: str) -> list[str]:
    return [line.partition("Z ")[2] for line in text.splitlines()]


def test_lines_are_seen_while_the_step_runs_and_followed_to_the_end(
    pipelines: Pipelines, project: Project, tmp_path: Path
) -> None:
    project.write(flow=FLOW)
    gate = tmp_path / "gate"
    thread = threading.Thread(target=pipelines.run, args=(project.flow().flow, {"gate": str(gate)}))
    thread.start()
    try:
        until = time.monotonic() + 10
        while not (running := pipelines.runs(status="running")) or not pipelines.attempts(running[0].id):
            assert time.monotonic() < until
            time.sleep(0.01)
        run = running[0].id
        while not (live := pipelines.log(run, "speak")).text:
            assert time.monotonic() < until
            time.sleep(0.01)
    finally:
        gate.touch()
        thread.join(10)
    rest = pipelines.log(run, "speak", after=live.position)
    end = pipelines.log(run, "speak", after=rest.position)

    assert (words(live.text), live.is_ended, live.status) == (["begun"], False, "running")
    assert (words(rest.text), rest.status) == (["Ended"], "done")
    assert (end.text, end.is_ended) == ("", True)


def test_a_log_longer_than_its_row_is_whole_in_its_object(pipelines: Pipelines, project: Project) -> None:
    project.write(flow=FLOW)
    run = pipelines.run(project.flow().chatting, {"lines": 10_000})
    (attempt,) = pipelines.attempts(run.id)

    text, position = "", 0
    while page := pipelines.log(run.id, "chat", after=position, limit=50_000).text:
        text += page
        position += len(page)

    assert attempt.log_object is not None
    assert len(attempt.log) <= 64_000
    assert words(attempt.log)[-1] == "line 009999"
    assert words(text) == [f"line {number:06d}" for number in range(10_000)]


def test_a_search_gives_the_lines_that_hold_the_text(pipelines: Pipelines, project: Project) -> None:
    project.write(flow=FLOW)
    run = pipelines.run(project.flow().chatting, {"lines": 300})

    assert words(pipelines.log(run.id, "chat", search="LINE 00029").text) == [
        f"line {n:06d}" for n in range(290, 300)
    ]


def test_the_spool_is_gone_when_the_catalog_has_the_log(pipelines: Pipelines, project: Project) -> None:
    project.write(flow=FLOW)
    run = pipelines.run(project.flow().chatting, {"lines": 3})

    assert words(pipelines.attempts(run.id)[0].log) == ["line 000000", "line 000001", "line 000002"]
    assert not (pipelines.kernel.home / "attempts" / run.id).exists()


def test_the_log_of_an_attempt_whose_end_nobody_wrote_down_stays(
    pipelines: Pipelines, project: Project, tmp_path: Path
) -> None:
    """A run that is cancelled loses its right to write; what its step printed is then on the disk alone."""
    project.write(flow=FLOW)
    gate = tmp_path / "gate"
    thread = threading.Thread(target=pipelines.run, args=(project.flow().flow, {"gate": str(gate)}))
    thread.start()
    try:
        until = time.monotonic() + 10
        while not (running := pipelines.runs(status="running")) or not pipelines.attempts(running[0].id):
            assert time.monotonic() < until
            time.sleep(0.01)
        pipelines.cancel(running[0].id)
    finally:
        gate.touch()
        thread.join(10)

    assert words(pipelines.log(running[0].id, "speak").text) == ["begun", "Ended"]


def test_a_step_without_an_attempt_is_named(pipelines: Pipelines, project: Project) -> None:
    project.write(flow=FLOW)
    run = pipelines.run(project.flow().chatting, {"lines": 3})

    with pytest.raises(AttemptNotFoundError, match="chat of run .* has no attempt 2"):
        pipelines.log(run.id, "chat", attempt=2)
