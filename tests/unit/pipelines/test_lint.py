"""Clock, chance, network and paths are remarked on in steps that are cached, wherever the step reaches."""

from __future__ import annotations

import textwrap
from typing import TYPE_CHECKING

import pytest

from everloop.pipelines.lint import lint

if TYPE_CHECKING:
    from tests.unit.pipelines.conftest import Project

HEAD = """
import random, time, datetime as dt, urllib.request
from datetime import datetime
from pathlib import Path
from random import randint
import numpy as np
from everloop.pipelines import step

def helper(x):
    return time.time() + x

"""


def remarks(project: Project, body: str, options: str = "") -> list[str]:
    text = (
        HEAD
        + f"@step{options}\ndef work(x: int) -> float:\n"
        + textwrap.indent(textwrap.dedent(body), "    ")
    )
    project.write(flow=text)
    return [remark.what.partition(":")[0] for remark in lint([project.flow().work])]


@pytest.mark.parametrize(
    ("body", "kind"),
    [
        ("return time.time()", "clock"),
        ("return datetime.now().timestamp()", "clock"),
        ("return dt.date.today().day", "clock"),
        ("return helper(x)", "clock"),
        ("return random.random()", "chance"),
        ("return randint(1, 6)", "chance"),
        ("return np.random.rand()", "chance"),
        ("return np.random.default_rng().random()", "chance"),
        ("return len(urllib.request.urlopen('http://x').read())", "network"),
        ("return len(open('data/rows.csv').read())", "path"),
        ("return len(Path('rows.parquet').read_bytes())", "path"),
    ],
)
def test_what_can_change_without_the_inputs_is_remarked(project: Project, body: str, kind: str) -> None:
    assert remarks(project, body) == [kind]


@pytest.mark.parametrize(
    "body",
    [
        "return np.random.default_rng(x).random()",
        "random.seed(x)\nreturn random.random()",
        "return time.perf_counter()",
        "return len('rows.csv')",
        "return x + 1",
    ],
)
def test_what_is_seeded_or_harmless_is_not(project: Project, body: str) -> None:
    assert remarks(project, body) == []


def test_a_step_that_is_not_cached_may_do_what_it_likes(project: Project) -> None:
    assert remarks(project, "return time.time()", "(cache=False)") == []
    assert remarks(project, "return time.time()", "(ttl='1h')") == []
