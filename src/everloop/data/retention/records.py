"""Frozen values of retention. Tests: tests/unit/data/retention."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated

import msgspec

Count = Annotated[int, msgspec.Meta(ge=1)]


class RetentionRule(msgspec.Struct, frozen=True, kw_only=True):
    """Which versions stay; with neither `last` nor `days` all do.

    A version stays when it is among the `last` ones added to its branch, or younger than `days`, or when a branch, a tag, a run, a
    model or a feature view reaches it.

    Attributes:
        run_outputs: versions that a run added stay, too.
    """

    last: Count | None = None
    days: Count | None = None
    run_outputs: bool = True


class TrashedVersion(msgspec.Struct, frozen=True, kw_only=True):
    """A deleted version, or a whole dataset, that can be brought back until a moment."""

    ref: str
    trashed_at: datetime
    trashed_by: str
    until: datetime
    reason: str


class GoingVersion(msgspec.Struct, frozen=True, kw_only=True):
    """A version that a rule would move into the trash."""

    ref: str
    created_at: datetime
    rows: int
    files: int


class KeptVersion(msgspec.Struct, frozen=True, kw_only=True):
    """A version that stays, and why."""

    ref: str
    why: list[str]


class RetentionPlan(msgspec.Struct, frozen=True, kw_only=True):
    """What a rule would do to a dataset.

    Attributes:
        freed_bytes: of the objects that no version left needs; other stages may need some of them still.
    """

    dataset: str
    rule: RetentionRule
    going: list[GoingVersion]
    kept: list[KeptVersion]
    freed_bytes: int


class Version(msgspec.Struct, frozen=True, kw_only=True):
    """A version as far as a rule looks at it."""

    number: int
    branch: str
    created_at: datetime
    is_of_run: bool


class Expired(msgspec.Struct, frozen=True, kw_only=True):
    """What a collection moved into the trash by rules, and what left the trash for good."""

    trashed: list[str] = []
    purged: list[str] = []


class Quota(msgspec.Struct, frozen=True, kw_only=True):
    """How many stored bytes a dataset, or all together, may take: above `warn_bytes` it is told, above `refuse_bytes` refused."""

    warn_bytes: Count | None = None
    refuse_bytes: Count | None = None


class Usage(msgspec.Struct, frozen=True, kw_only=True):
    """Stored bytes of a dataset, or of all together, and the quota for them."""

    name: str
    used_bytes: int
    quota: Quota
