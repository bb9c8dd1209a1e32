"""What triggers keep: frozen records that travel as JSON. Tests: tests/unit/pipelines/test_triggers.py."""

from __future__ import annotations

from datetime import datetime
from typing import Literal

import msgspec

from everloop.pipelines.records import Json, RunOptions

TriggerKind = Literal["event", "dataset", "alert", "file", "webhook"]
WhenBusy = Literal["queue", "latest", "skip"]
CauseStatus = Literal["waiting", "started", "skipped"]


class Trigger(msgspec.Struct, frozen=True, kw_only=True):
    """What starts runs of a pipeline besides time, once for each cause.

    Attributes:
        on: `event` any event of the log, `dataset` a branch of a dataset that moved, `alert` an alert that fired, `file` a file
            that arrived, `webhook` a signed POST to `/hooks/NAME`.
        what: the event kind; the dataset, `flights` or `flights@main`; the alert's rule, `*` for any; the path or URL with a
            pattern; empty for a webhook.
        subject: pattern that the subject must match, for events and alerts.
        where: values that fields of the payload must have, for events and alerts; `a.b` goes inside.
        cause_input: the pipeline's parameter that gets the cause: the subject, the dataset's version, the file; empty for none.
        accepts: the pipeline's parameters that a webhook may set.
        secret: `env:NAME`, the variable that holds a webhook's secret; never the secret itself.
        stable_s: for so long a file must keep its size.
        max_active: runs of this trigger that are queued, running or waiting for people at once; 0 for no limit.
        debounce_s: a run starts when no new cause came for so long, for the newest one only; 0 for none.
        when_busy: what happens to causes beyond `max_active`: they wait (`queue`), only the newest waits (`latest`), none does (`skip`).
        position: of the last event that was seen.
    """

    name: str
    pipeline: str
    on: TriggerKind
    what: str = ""
    subject: str = "*"
    where: dict[str, Json] = {}
    cause_input: str = ""
    accepts: list[str] = []
    secret: str = ""
    stable_s: float = 0.0
    max_active: int = 0
    debounce_s: float = 0.0
    when_busy: WhenBusy = "queue"
    inputs: dict[str, Json] = {}
    options: RunOptions = RunOptions()
    is_paused: bool = False
    created_at: datetime
    position: int = 0


class Cause(msgspec.Struct, frozen=True, kw_only=True):
    """One thing that happened, and what came of it.

    Attributes:
        cause: its key: the id of an event or of a delivery, the name of a file; no second run comes of it.
        given: the parameters it sets.
        reason: why it was skipped.
        run: the run it started.
    """

    trigger: str
    cause: str
    given: dict[str, Json] = {}
    status: CauseStatus = "waiting"
    reason: str = ""
    run: str = ""
    seen_at: datetime
