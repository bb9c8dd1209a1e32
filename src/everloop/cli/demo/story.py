"""Tell the story as it happens: one line for each event that matters, read from the event log like any other reader would.

Tests: tests/unit/cli/test_story.py.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

    from everloop.app import App
    from everloop.kernel.events import Event

_QUIET_STATES = frozenset({"cycle.checking_data"})
_COLOURS = {
    "alert.fired": "yellow",
    "alert.resolved": "green",
    "cycle.promoted": "green",
    "cycle.rejected": "magenta",
    "cycle.rolled_back": "red",
    "cycle.failed": "red",
    "cycle.canary": "cyan",
    "cycle.triggered": "yellow",
}


class Narrator:
    """Reads the event log from where it stopped and says what a person would want to know.

    Args:
        app: whose log.
        say: prints one line; gets the text and a colour.
    """

    def __init__(self, app: App, say: Callable[[str, str], None]) -> None:
        self._app = app
        self._say = say
        self._position = app.kernel.events.last_position()

    def catch_up(self) -> None:
        """Tell what happened since the last call."""
        while found := self._app.system.events(after=self._position, limit=1000):
            for event in found:
                if line := line_of(event):
                    self._say(f"{event.time:%Y-%m-%d}  {line}", _COLOURS.get(event.kind, ""))
            self._position = found[-1].position


def line_of(event: Event) -> str:
    """Return an event as a line of the story; empty for one that does not matter to it."""
    head, _, tail = event.kind.partition(".")
    if head == "cycle" and event.kind not in _QUIET_STATES:
        return _cycle(event, tail)
    if event.kind == "alert.fired" and event.payload.get("severity") == "page":
        return f"alert     {event.payload['message']}"
    if event.kind == "dataset.quarantined":
        return f"data      {event.subject}: {event.payload.get('rows', 'some')} rows put in quarantine"
    if event.kind == "loop.policy_set":
        return f"policy    {event.subject} is now in a loop, policy {event.payload['policy'][:11]}"
    return ""


def _cycle(event: Event, state: str) -> str:
    number = event.payload.get("number", "?")
    return f"cycle {number:<3} {_verb(state)}: {_shortened(event.payload)}"


def _verb(state: str) -> str:
    return {
        "training": "data checked",
        "gating": "trained",
        "awaiting_approval": "waits for approval",
        "canary": "canary",
        "rolled_back": "ROLLED BACK",
        "rejected": "REFUSED",
        "promoted": "PROMOTED",
    }.get(state, state.replace("_", " "))


def _shortened(payload: dict[str, Any], longest: int = 230) -> str:
    reason = str(payload.get("reason", ""))
    return reason if len(reason) <= longest else reason[:longest] + "..."
