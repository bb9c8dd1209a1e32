"""A cycle as people read it: what happened, why, and on what evidence. Tests: tests/unit/loop/test_story.py."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

if TYPE_CHECKING:
    from everloop.loop.records import Cycle, Transition

_LONGEST = 100


def tell(cycle: Cycle) -> str:
    """Return the chain of a cycle, one line a transition with its evidence below it."""
    head = f"cycle {cycle.model}/{cycle.number}: {cycle.state.replace('_', ' ')}  (policy {short(cycle.policy)}, id {cycle.id})"
    return "\n".join([head, *(line for transition in cycle.history for line in _lines(transition))])


def headline(cycle: Cycle) -> str:
    """Return the verdict of a cycle in one line."""
    last = cycle.history[-1]
    who = f" v{cycle.challenger}" if cycle.challenger else ""
    return f"{cycle.state.replace('_', ' ')}{who}: {last.reason}"


def short(digest: str) -> str:
    """Return the first digits of a digest, enough to tell it from others."""
    return digest[:11]


def _lines(transition: Transition) -> list[str]:
    lines = [
        f"  {transition.at:%Y-%m-%d %H:%M}  {transition.state.replace('_', ' '):<17} {transition.reason}"
    ]
    for name, value in transition.evidence.items():
        lines += _evidence(name, value)
    return lines


def _evidence(name: str, value: object) -> list[str]:
    indent = " " * 20
    if isinstance(value, list):
        return [f"{indent}{name}: {_text(item)}" for item in value]
    return [f"{indent}{name}: {_text(value)}"]


def _text(value: object) -> str:
    if isinstance(value, str):
        return short(value) if value.startswith("b3:") else value
    if isinstance(value, dict):
        return ", ".join(f"{name} {_text(item)}" for name, item in value.items())
    text = msgspec.json.encode(value).decode()
    return text if len(text) <= _LONGEST else text[:_LONGEST] + "..."
