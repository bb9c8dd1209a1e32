"""The value of a cursor column as text, so that it can be kept between two readings of a query."""

from __future__ import annotations

from datetime import date, datetime
from typing import TYPE_CHECKING, Any

import msgspec

from everloop.data.connectors.errors import UnknownOptionError

if TYPE_CHECKING:
    from everloop.data.connectors.sql_database import Cursor

_KINDS: dict[str, type[Any]] = {"int": int, "float": float, "str": str, "date": date, "datetime": datetime}


def encode_cursor(value: Cursor) -> str:
    """Return a text that `decode_cursor` turns into the same value: `["int",7]`.

    Raises:
        UnknownOptionError: a value of this type cannot be kept; booleans and decimals, for example.
    """
    kind = type(value).__name__
    if _KINDS.get(kind) is not type(value):
        raise UnknownOptionError(
            f"a cursor column of type {kind} cannot be continued from. Take a number, text, date or time."
        )
    return msgspec.json.encode([kind, value]).decode()


def decode_cursor(text: str) -> Cursor:
    """Return the value of a text that `encode_cursor` made.

    Raises:
        UnknownOptionError: the text is no such text.
    """
    try:
        kind, raw = msgspec.json.decode(text, type=tuple[str, msgspec.Raw])
        found: Cursor = msgspec.json.decode(raw, type=_KINDS[kind])
    except (msgspec.MsgspecError, KeyError) as error:
        raise UnknownOptionError(f"{text!r} is not the text of a cursor. Start again without one.") from error
    return found
