"""What may be the name of a param, metric, tag or artifact, and how long their texts may be. Tests: tests/unit/tracking/test_recording.py."""

from __future__ import annotations

from typing import TYPE_CHECKING

from everloop.core.errors import InvalidInputError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from everloop.tracking.records import Plain

# A name is a column, a heading and a part of a filter; a text param is read with every run.
LONGEST_NAME = 250
LONGEST_TEXT = 64 << 10


class BadNameError(InvalidInputError):
    """The name of a param, metric, tag or artifact is empty, too long, or holds control characters."""

    code = "tracking.bad-name"


class TextTooLongError(InvalidInputError):
    """A param or tag is longer than a run keeps."""

    code = "tracking.text-too-long"


def is_name(name: str) -> bool:
    """Say whether a text may be a name."""
    return bool(name) and len(name) <= LONGEST_NAME and name.isprintable()


def check_names(names: Sequence[str]) -> None:
    """Refuse names that cannot be shown or asked for.

    Raises:
        BadNameError: as named.
    """
    for name in names:
        if not is_name(name):
            raise BadNameError(
                f"{name[:60]!r} is no name for a param, metric, tag or artifact: it needs 1 to {LONGEST_NAME} printable characters.",
                subject=name[:60],
            )


def check_texts(values: Mapping[str, Plain]) -> None:
    """Refuse texts that are too long to be read with each run.

    Raises:
        TextTooLongError: as named.
    """
    for name, value in values.items():
        if isinstance(value, str) and len(value) > LONGEST_TEXT:
            raise TextTooLongError(
                f"{name} has {len(value):,} characters, and a param or tag keeps {LONGEST_TEXT:,}. Log it as an artifact.",
                subject=name,
            )
