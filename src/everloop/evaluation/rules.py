"""The decision of a comparison: better, non-inferior, worse, or not enough data.

Pure: estimates in, verdict with reasons out. Tests: tests/unit/evaluation/test_rules.py.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from everloop.evaluation.records import Outcome, Verdict

if TYPE_CHECKING:
    from everloop.evaluation.records import Estimate

# Below these the interval itself is not to be trusted (the bootstrap needs some units to draw from).
FEWEST_ROWS = 100
FEWEST_BLOCKS = 5


def verdict(
    gain: Estimate,
    *,
    margin: float,
    min_gain: float = 0.0,
    min_rows: int = FEWEST_ROWS,
    min_blocks: int = FEWEST_BLOCKS,
) -> Verdict:
    """Return what the interval of a gain proves.

    Args:
        gain: challenger against champion, positive when the challenger is better.
        margin: the loss of quality that is still accepted, in the metric's unit, 0 or more.
        min_gain: what `better` must exceed.
        min_rows: fewer rows are not enough data.
        min_blocks: fewer independent blocks are not enough data.

    Returns:
        `better` when the whole interval lies above `min_gain`; `non_inferior` when it lies above minus `margin`;
        `worse` when it lies below zero and reaches past the margin; else `not_enough_data`.
    """
    if gain.low is None or gain.high is None or gain.value is None:
        return _say(
            "not_enough_data", f"the rows ({gain.rows}) do not define the difference with an interval"
        )
    if gain.rows < min_rows:
        return _say("not_enough_data", f"{gain.rows} rows, at least {min_rows} are needed")
    if gain.blocks < min_blocks:
        return _say("not_enough_data", f"{gain.blocks} independent blocks, at least {min_blocks} are needed")
    return _judge(
        gain.low,
        gain.high,
        f"gain {gain.value:+.4f}, 95 % interval {gain.low:+.4f} to {gain.high:+.4f}",
        margin=margin,
        min_gain=min_gain,
    )


def _judge(low: float, high: float, figures: str, *, margin: float, min_gain: float) -> Verdict:
    if low > min_gain:
        return _say("better", f"{figures}: all above {min_gain:g}")
    if low > -margin:
        return _say("non_inferior", f"{figures}: all above the margin of -{margin:g}")
    if high < 0:
        return _say("worse", f"{figures}: all below zero, and past the margin of -{margin:g}")
    return _say(
        "not_enough_data",
        f"{figures}: too wide to decide at a margin of {margin:g}; wait for more labelled rows",
    )


def _say(outcome: Outcome, reason: str) -> Verdict:
    return Verdict(outcome=outcome, reasons=[reason])
