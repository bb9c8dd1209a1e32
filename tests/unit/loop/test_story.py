"""A cycle as people read it."""

from __future__ import annotations

from datetime import UTC, datetime

from everloop.core.digests import digest_bytes
from everloop.loop.records import Cycle, Transition
from everloop.loop.story import headline, tell

AT = datetime(2013, 7, 1, 12, 30, tzinfo=UTC)
DIGEST = digest_bytes(b"policy")


def a_cycle() -> Cycle:
    return Cycle(
        id="c1", model="delays", number=3, state="rolled_back", policy=DIGEST, cause="alert", began_at=AT,
        updated_at=AT, challenger=4, champion=2,
        history=(
            Transition(at=AT, state="triggered", reason="alert: log_loss 0.61", evidence={"policy": DIGEST}),
            Transition(
                at=AT, state="gating", reason="met all 2 conditions",
                evidence={"conditions": ["log_loss pass", "rows pass"], "facts": {"rows": 7, "long": [1.25] * 200}},
            ),
            Transition(at=AT, state="rolled_back", reason="answers differ"),
        ),
    )  # fmt: skip


def test_the_story_tells_every_transition_with_its_evidence_below_it() -> None:
    lines = tell(a_cycle()).splitlines()

    assert lines[0].startswith("cycle delays/3: rolled back  (policy ")
    assert [line.split()[2] for line in lines if line.startswith("  2013-07-01 12:30")] == [
        "triggered", "gating", "rolled",
    ]  # fmt: skip
    assert lines[2].strip() == f"policy: {DIGEST[:11]}"
    assert "conditions: log_loss pass" in lines[4]
    assert "conditions: rows pass" in lines[5]
    assert "rows 7" in lines[6]


def test_digests_are_shortened_and_no_line_runs_away() -> None:
    story = tell(a_cycle())

    assert DIGEST not in story
    assert max(map(len, story.splitlines())) < 160


def test_the_headline_is_the_verdict_with_its_version_and_reason() -> None:
    assert headline(a_cycle()) == "rolled back v4: answers differ"
