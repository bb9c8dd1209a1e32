"""A pipeline over a date, for chaos tests."""

from __future__ import annotations

import time

from everloop.pipelines import pipeline, step


@step
def score(day: str) -> str:
    time.sleep(0.05)
    return day


@pipeline
def dated(day: str) -> str:
    return score(day)
