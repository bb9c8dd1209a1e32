"""Marks of pages over lists that are whole in memory. Tests: tests/unit/mlflow_api/test_filters.py."""

from __future__ import annotations

import base64
import binascii
from typing import TYPE_CHECKING, TypeVar

from everloop.mlflow_api.errors import BadParameterError

if TYPE_CHECKING:
    from collections.abc import Sequence

T = TypeVar("T")


def page(items: Sequence[T], *, limit: int, token: str) -> tuple[Sequence[T], str]:
    """Return a page of items and the mark of the next one; empty at the end.

    Raises:
        BadParameterError: the mark is none, or the limit is not positive.
    """
    start = _start(token)
    part = items[start : start + limit]
    end = start + limit
    return part, _mark(end) if end < len(items) else ""


def within(value: int | None, *, most: int, default: int) -> int:
    """Return how many items to answer with.

    Raises:
        BadParameterError: it is not between 1 and `most`.
    """
    if value is None:
        return default
    if not 1 <= value <= most:
        raise BadParameterError(
            f"Invalid value {value} for parameter 'max_results' supplied: it must be at least 1 and at most {most}."
        )
    return value


def _mark(start: int) -> str:
    return base64.urlsafe_b64encode(f"at:{start}".encode()).decode()


def _start(token: str) -> int:
    if not token:
        return 0
    try:
        text = base64.urlsafe_b64decode(token.encode()).decode()
        if text.startswith("at:"):
            return max(int(text[3:]), 0)
    except (binascii.Error, ValueError):
        pass
    raise BadParameterError("Invalid page token: pass next_page_token as it came.")
