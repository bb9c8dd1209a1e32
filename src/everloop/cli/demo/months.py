"""The table at the end: month by month, the January model as it was, against what the loop served.

Both are judged on the same labelled rows; the interval of the difference takes days as blocks. Tests: tests/e2e/test_demo.py.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

import msgspec
import pyarrow as pa

from everloop.cli.demo.flights import HOME_OF_FLIGHTS
from everloop.evaluation.comparison import compare

if TYPE_CHECKING:
    from everloop.app import App
    from everloop.loop.records import Cycle

_LAST_MONTH = 12
_LONGEST = 47


class Month(msgspec.Struct, frozen=True, kw_only=True):
    """One line of the table; losses are log-losses on the labelled flights of the month.

    Attributes:
        frozen: of the first version, as if nothing had ever been retrained.
        served: of what was answered to the callers.
        gain, gain_low, gain_high: frozen minus served with its 95 % interval; positive is better.
        champion: version that was champion at the end of the month.
        story: what the loop did in the month, and why.
    """

    month: str
    flights: int
    late_rate: float
    frozen: float
    served: float
    gain: float
    gain_low: float
    gain_high: float
    champion: int
    story: list[str]


def months(app: App, model: str, *, until: datetime) -> list[Month]:
    """Return the whole months before `until`, oldest first."""
    cycles = list(reversed(app.loop.cycles(model, limit=1000)))
    found = []
    for number in range(2, _LAST_MONTH + 1):
        start = datetime(2013, number, 1, tzinfo=HOME_OF_FLIGHTS)
        end = datetime(2013 + number // 12, number % 12 + 1, 1, tzinfo=HOME_OF_FLIGHTS)
        if end > until:
            break
        found.append(_month(app, model, start.astimezone(UTC), end.astimezone(UTC), cycles))
    return found


def _month(app: App, model: str, start: datetime, end: datetime, cycles: list[Cycle]) -> Month:
    rows = app.serving.labelled(model, start=start, end=end)
    labels = rows["label"].to_numpy(zero_copy_only=False).astype(float)
    served = rows["prediction"].to_numpy(zero_copy_only=False).astype(float)
    frozen = app.registry.score(f"{model}@v1", rows)
    days = rows["time"].cast(pa.int64()).to_numpy() // 86_400_000_000
    found = compare(labels, frozen, served, metric="log_loss", margin=0.0, blocks=days)
    return Month(
        month=f"{start:%Y-%m}",
        flights=rows.num_rows,
        late_rate=float(labels.mean()),
        frozen=found.champion.value or 0.0,
        served=found.challenger.value or 0.0,
        gain=found.gain.value or 0.0,
        gain_low=found.gain.low or 0.0,
        gain_high=found.gain.high or 0.0,
        champion=_champion_at(cycles, end),
        story=[_line(c) for c in cycles if c.is_ended and start <= c.updated_at < end and c.champion],
    )


def _line(cycle: Cycle) -> str:
    """Return what a cycle came to and why, short enough for a table; `loop explain` has the rest."""
    cause = cycle.cause.partition(":")[0]
    verdict = cycle.state.replace("_", " ").replace("rejected", "refused")
    reason = cycle.history[-1].reason.removeprefix("the gate refuses: ") if cycle.state != "promoted" else ""
    return f"{cause}: v{cycle.challenger} {verdict}" + (f" ({reason[:_LONGEST]}...)" if reason else "")


def _champion_at(cycles: list[Cycle], moment: datetime) -> int:
    promoted = [c.challenger for c in cycles if c.state == "promoted" and c.updated_at < moment]
    return promoted[-1] if promoted else 0
