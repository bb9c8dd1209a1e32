"""`everloop loop` over a policy, from its first cycle to its story."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest
from click.testing import CliRunner

import everloop as el
from everloop.cli import everloop
from everloop.core.errors import EverloopError

if TYPE_CHECKING:
    from pathlib import Path

    from click.testing import Result


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """A home with a policy whose pipeline nobody registered."""
    with el.connect(home=tmp_path / "home") as app:
        app.data.add("flights", {"x": [1, 2]})
        app.loop.set_policy(
            "delays", policy=el.Policy(model="delays", pipeline="train", data={"flights": "flights"})
        )
    return tmp_path / "home"


def type_(home: Path, *words: str) -> Result:
    return CliRunner().invoke(everloop, ["--home", str(home), *words], standalone_mode=False)


def test_a_policy_is_listed_held_and_released(home: Path) -> None:
    assert [p["policy"]["model"] for p in json.loads(type_(home, "-o", "json", "loop", "ls").stdout)] == [
        "delays"
    ]
    assert "flights=flights" in type_(home, "loop", "ls").stdout

    assert json.loads(type_(home, "-o", "json", "loop", "pause", "delays").stdout)["is_paused"] is True
    assert json.loads(type_(home, "-o", "json", "loop", "resume", "delays").stdout)["is_paused"] is False


def test_a_cycle_begun_by_hand_is_listed_shown_and_explained(home: Path) -> None:
    begun = json.loads(type_(home, "-o", "json", "loop", "trigger", "delays", "--reason", "a test").stdout)
    with el.connect(home=home) as app:
        app.loop.tick()

    (listed,) = json.loads(type_(home, "-o", "json", "loop", "cycles", "delays").stdout)
    shown = json.loads(type_(home, "-o", "json", "loop", "show", "delays/1").stdout)
    told = type_(home, "loop", "explain", "delays/1").stdout

    assert listed["id"] == shown["id"] == begun["id"]
    assert shown["state"] == "failed"
    assert told.startswith("cycle delays/1: failed")
    assert "by hand: a test" in told
    assert "training reads flights@v1" in told
    assert type_(home, "loop", "explain", begun["id"]).stdout == told


def test_a_second_cycle_is_refused_while_one_is_open(home: Path) -> None:
    type_(home, "loop", "trigger", "delays", "--reason", "first")

    refused = type_(home, "loop", "trigger", "delays", "--reason", "second")

    assert isinstance(refused.exception, EverloopError)
    assert refused.exception.code == "loop.cycle-open"


@pytest.mark.parametrize("words", [("explain", "delays/7"), ("show", "nothing"), ("pause", "nothing")])
def test_what_is_not_there_is_said(home: Path, words: tuple[str, ...]) -> None:
    refused = type_(home, "loop", *words)

    assert isinstance(refused.exception, EverloopError)
    assert refused.exception.status == 404
