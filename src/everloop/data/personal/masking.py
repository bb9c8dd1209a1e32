"""Mask the parts of a table one by one; different values of a row group are masked once.

Every method looks at one value alone, so a part is masked the same wherever it comes from, and one that was masked before needs
not be again. Tests: tests/unit/data/personal/test_masking.py, tests/property/test_masking.py.
"""

from __future__ import annotations

from datetime import date, datetime
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from everloop.core.digests import Digest, digest_value
from everloop.data.deltas import appended_order
from everloop.data.parts import PartWriter, open_piece, read_groups
from everloop.data.personal import rules as decide
from everloop.data.personal.keys import fingerprint, subkey
from everloop.data.personal.pseudonyms import hash_value, keep_format, keep_number
from everloop.data.personal.records import MaskedPart
from everloop.data.records import Column, TableReference, Tally
from everloop.data.rows import content_digest

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from everloop.data.personal.records import MaskRule
    from everloop.data.records import Part
    from everloop.kernel.objects import Objects

    Mask = Callable[[Any], Any]

REDACTED = "[redacted]"
_BIN, _PREFIX = 10, 2


def policy_digest(rules: Sequence[MaskRule], columns: Sequence[Column], key: bytes) -> Digest:
    """Return the digest of all that a masked value depends on beside the value; the key only by its fingerprint."""
    facts = [[rule.column, rule.method, rule.argument] for rule in rules]
    return digest_value(["mask/1", facts, [[one.name, one.type] for one in columns], fingerprint(key)])


def mask_part(part: Part, rules: Sequence[MaskRule], key: bytes, objects: Objects) -> MaskedPart:
    """Store the live rows of a part with its columns masked."""
    with PartWriter() as writer:
        for _, rows in read_groups(open_piece(part, objects)):
            writer.write(mask_rows(rows, rules, key))
        writer.finish()
        return MaskedPart(parts=writer.store(objects), tally=writer.tally, order=writer.order)


def joined(parts: Sequence[MaskedPart], columns: Sequence[Column]) -> TableReference:
    """Return the table of masked parts in their order."""
    tally, order = Tally(), parts[0].order
    for part in parts:
        tally += part.tally
    for part in parts[1:]:
        order = appended_order(order, part.order)
    return TableReference(
        digest=content_digest(list(columns), tally),
        order=order,
        tally=tally,
        columns=list(columns),
        parts=[one for part in parts for one in part.parts],
    )


def masked_columns(columns: Sequence[Column], rules: Sequence[MaskRule]) -> list[Column]:
    """Return the columns of a table after its masking."""
    methods = {rule.column: rule.method for rule in rules}
    kept = [column for column in columns if methods.get(column.name) != "drop"]
    return [Column(name=one.name, type="string") if methods.get(one.name) == "hash" else one for one in kept]


def mask_rows(rows: pa.Table, rules: Sequence[MaskRule], key: bytes) -> pa.Table:
    """Return rows with their columns masked; missing values stay missing."""
    for rule in rules:
        at = rows.column_names.index(rule.column)
        if rule.method == "drop":
            rows = rows.remove_column(at)
            continue
        masked = _mask_column(rows.column(at), rule, key)
        rows = rows.set_column(at, pa.field(rule.column, masked.type), masked)
    return rows


def _mask_column(column: Any, rule: MaskRule, key: bytes) -> Any:  # noqa: ANN401 - Arrow columns
    kind = column.type
    if rule.method == "redact" and kind != pa.string():
        return pa.nulls(len(column), kind)
    mask, result = _mask_of(rule, kind, key)
    joined_column = column.combine_chunks()
    if isinstance(joined_column, pa.ChunkedArray):
        joined_column = (
            pa.concat_arrays(joined_column.chunks) if joined_column.num_chunks else pa.array([], kind)
        )
    coded = joined_column.dictionary_encode()
    values = pa.array([None if one is None else mask(one) for one in coded.dictionary.to_pylist()], result)
    return values.take(coded.indices)


def _mask_of(rule: MaskRule, kind: Any, key: bytes) -> tuple[Mask, Any]:  # noqa: ANN401 - an Arrow type
    """Return what masks one value, and the type of what comes out."""
    name = str(kind)
    if rule.method == "hash":
        return partial(_hash, key=subkey(key, "hash")), pa.string()
    if rule.method == "redact":
        text = rule.argument or REDACTED
        return lambda _: text, kind
    if rule.method == "keep-format":
        own = subkey(key, "keep-format")
        if decide.is_integer(name):
            largest = int(np.iinfo(kind.to_pandas_dtype()).max)
            return partial(keep_number, key=own, largest=largest), kind
        return partial(keep_format, key=own), kind
    return _generalisation(rule, kind, name), kind


def _generalisation(rule: MaskRule, kind: Any, name: str) -> Mask:  # noqa: ANN401 - an Arrow type
    if decide.is_time(name):
        return partial(_span, span=rule.argument or "year")
    if name == "string":
        return partial(_prefix, length=int(rule.argument or _PREFIX))
    if decide.is_integer(name):
        width = int(rule.argument or _BIN)
        return partial(_integer_bin, width=width, least=int(np.iinfo(kind.to_pandas_dtype()).min))
    return partial(_bin, width=float(rule.argument or _BIN))


def _hash(value: object, *, key: bytes) -> str:
    """Return the hash of a value; a number and the text of it have the same."""
    if isinstance(value, bytes):
        return hash_value(value, key)
    text = value.isoformat() if isinstance(value, date) else str(value)
    return hash_value(text.encode(), key)


def _span(moment: date, *, span: str) -> date:
    year = moment.year - moment.year % 10 if span == "decade" else moment.year
    first = moment.replace(year=max(year, 1), month=moment.month if span == "month" else 1, day=1)
    if isinstance(first, datetime):
        return first.replace(hour=0, minute=0, second=0, microsecond=0)
    return first


def _prefix(text: str, *, length: int) -> str:
    """Return the first characters, never more than half, and stars for the others."""
    kept = min(length, len(text) // 2)
    return text[:kept] + "*" * (len(text) - kept)


def _integer_bin(number: int, *, width: int, least: int) -> int:
    return max(number // width * width, least)


def _bin(number: float, *, width: float) -> float:
    found = number // width * width
    return found if np.isfinite(found) else float("nan")
