"""Find personal data in a table: a bounded look at different values of each column, judged by kinds and by the column's name.

The look takes rows spread evenly over the table and reads at most 16 row groups, so that its cost does not grow with the table;
the frequent values of a profile that is there already are looked at, too. What is rare can be missed. Tests:
tests/unit/data/personal/test_detection.py.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from everloop.data.parts import read_groups
from everloop.data.personal import patterns
from everloop.data.personal.records import PersonalColumn, PersonalReport

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from everloop.data.personal.patterns import Kind, NamedKind
    from everloop.data.personal.records import Confidence, PersonalKind
    from everloop.data.records import Column, Profile
    from everloop.data.table import Table

# To be raised with every change of what is found, so that kept reports are made again.
DETECTOR = 1
_ROWS = 20_000
_GROUPS = 16
# Different values judged of one column.
_VALUES = 5_000
_LONGEST = 4_096
# Chance must be this unlikely before a check digit counts, and this unlikely where the column's name says the kind.
_BY_CHANCE, _BY_CHANCE_NAMED = 1e-6, 0.11
_LEAST_NAMED = 0.3
# Of a form without check digit so many different values must be there, unless the name says the kind.
_LEAST_VALUES = 3
# One account number inside texts may be chance.
_LEAST_WITHIN = 2
_EXAMPLES = 3
_EXAMPLE_LENGTH = 40


class _Seen(NamedTuple):
    column: Column
    words: list[str]
    values: list[str]

    @property
    def is_number(self) -> bool:
        return self.column.type != "string"


def find_personal(table: Table, *, profile: Profile | None = None) -> PersonalReport:
    """Return the personal data found in a table; values appear as shapes only.

    Args:
        table: stored or in memory.
        profile: the table's, if there is one.
    """
    columns = [column for column in table.columns if _is_looked_at(column.type)]
    rows = _sample(table, [column.name for column in columns])
    frequent = {one.name: [top.value for top in one.top] for one in profile.columns} if profile else {}
    found: list[PersonalColumn] = []
    for column in columns:
        values = _different(rows.column(column.name), frequent.get(column.name, []))
        found += _judge(_Seen(column, patterns.words_of(column.name), values))
    return PersonalReport(
        digest=table.digest, rows=table.num_rows, sampled=rows.num_rows, detector=DETECTOR, columns=found
    )


def shape(value: str) -> str:
    """Return a value with letters as x, digits as 9 and only plain punctuation; nothing of what it says is left."""
    shown = "".join(_shape_of(one) for one in value[:_EXAMPLE_LENGTH])
    return shown + "…" * (len(value) > _EXAMPLE_LENGTH)


def _shape_of(character: str) -> str:
    if character.isdecimal():
        return "9"
    if character.isalpha():
        return "X" if character.isupper() else "x"
    return character if character in " @.,-+/()_:#" else "·"


def _is_looked_at(kind: str) -> bool:
    return kind == "string" or kind.startswith(("int", "uint", "date", "timestamp"))


def _sample(table: Table, columns: list[str]) -> pa.Table:
    """Return rows spread evenly over a table, from at most 16 row groups of it."""
    if table.reference is None:
        arrow = table.to_arrow(columns)
        return arrow.take(_spread(arrow.num_rows, _ROWS)) if arrow.num_rows > _ROWS else arrow
    pieces = [piece for piece in table.pieces() if len(piece.live)]
    taken: list[pa.Table] = [table.schema.empty_table().select(columns)]
    chosen = [pieces[at] for at in _spread(len(pieces), min(len(pieces), _GROUPS))]
    rows, groups = max(1, _ROWS // max(1, len(chosen))), max(1, _GROUPS // max(1, len(chosen)))
    for piece in chosen:
        for where in _blocks(piece.live, rows, groups):
            taken += [found for _, found in read_groups(piece, columns, where=where)]
    return pa.concat_tables(taken)


def _blocks(live: np.ndarray, rows: int, groups: int) -> Iterator[np.ndarray]:
    """Yield runs of live positions, each within one row group or two, that together are so many rows."""
    if len(live) <= rows:
        yield live
        return
    each = max(1, rows // groups)
    for start in _spread(len(live) - each + 1, groups):
        yield live[start : start + each]


def _spread(size: int, count: int) -> np.ndarray:
    return np.linspace(0, max(size - 1, 0), num=min(count, size), dtype=np.int64)


def _different(column: Any, frequent: Sequence[str]) -> list[str]:  # noqa: ANN401 - an Arrow column
    """Return different values as texts, in the order in which they came."""
    unique = pc.unique(column.combine_chunks() if column.num_chunks != 1 else column.chunk(0))
    present = pc.drop_null(unique)
    texts = pc.cast(present.take(_spread(len(present), _VALUES)), pa.string()).to_pylist()
    together = dict.fromkeys(text.strip()[:_LONGEST] for text in [*frequent, *filter(None, texts)])
    return [text for text in together if text]


def _judge(seen: _Seen) -> list[PersonalColumn]:
    if not seen.values:
        return []
    if seen.column.type.startswith(("date", "timestamp")):
        named = [kind for kind in patterns.NAMED_KINDS if kind.name == "birth-date"]
        return [one for kind in named for one in _by_name(seen, kind, seen.values)]
    found: dict[PersonalKind, PersonalColumn] = {}
    for kind in patterns.KINDS:
        if kind.name not in found and (one := _by_values(seen, kind)) is not None:
            found[kind.name] = one
            if one.share >= kind.least and kind.least and not one.is_within:
                break
    if not seen.is_number:
        for one in _within(seen):
            if one.kind not in found or found[one.kind].share < one.share:
                found[one.kind] = one
    if not found:
        found = {one.kind: one for kind in patterns.NAMED_KINDS for one in _by_name(seen, kind, seen.values)}
    return list(found.values())


def _by_values(seen: _Seen, kind: Kind) -> PersonalColumn | None:
    """Return the finding when enough values pass the kind's test, and more than chance lets pass."""
    if patterns.is_called(seen.words, kind.not_named) or (seen.is_number and not kind.digits):
        return None
    values = [_filled(one, kind.digits) for one in seen.values] if seen.is_number else seen.values
    formed = [one for one in values if kind.has_form(one)]
    passed = [one for one in formed if kind.passes(one)]
    is_named = patterns.is_called(seen.words, kind.names)
    if not passed or (kind.is_weak and not is_named):
        return None
    share = len(passed) / len(values)
    of_form = len(passed) / len(formed)
    least = min(kind.least, _LEAST_NAMED) if is_named else kind.least
    if share < least or of_form < least:
        return None
    if kind.by_chance:
        chance = _tail(len(formed), len(passed), kind.by_chance)
        if chance > (_BY_CHANCE_NAMED if is_named else _BY_CHANCE):
            return None
    elif kind.least and not is_named and len(passed) < _LEAST_VALUES:
        return None
    confidence: Confidence = "checksum" if kind.by_chance else "name" if kind.is_weak else "pattern"
    return _finding(seen, kind.name, passed, share, confidence)


def _filled(number: str, digits: int) -> str:
    """Return a number with the one or two zeros before it that it may have lost."""
    return number.zfill(digits) if len(number) >= digits - 2 else number


def _within(seen: _Seen) -> list[PersonalColumn]:
    """Return what stands inside longer texts."""
    held: dict[PersonalKind, list[str]] = {}
    proven: set[PersonalKind] = set()
    for value in seen.values:
        for kind, is_checked in patterns.find_within(value).items():
            held.setdefault(kind, []).append(value)
            proven |= {kind} if is_checked else set()
    return [
        _finding(
            seen,
            kind,
            values,
            len(values) / len(seen.values),
            "checksum" if kind in proven else "pattern",
            is_within=True,
        )
        for kind, values in held.items()
        if kind not in proven or len(values) >= _LEAST_WITHIN
    ]


def _by_name(seen: _Seen, kind: NamedKind, values: list[str]) -> list[PersonalColumn]:
    if not patterns.is_called(seen.words, kind.names, kind.not_named):
        return []
    is_time = seen.column.type.startswith(("date", "timestamp"))
    fitting = values if is_time else [one for one in values if kind.fits(one)]
    share = len(fitting) / len(values)
    # Names say little of themselves: most of the values must at least look the part.
    return [_finding(seen, kind.name, fitting, share, "name")] if share > 0.5 else []  # noqa: PLR2004


def _finding(
    seen: _Seen,
    kind: PersonalKind,
    values: list[str],
    share: float,
    confidence: Confidence,
    *,
    is_within: bool = False,
) -> PersonalColumn:
    shapes = dict.fromkeys(map(shape, values[:100]))
    return PersonalColumn(
        column=seen.column.name,
        type=seen.column.type,
        kind=kind,
        share=round(share, 4),
        confidence=confidence,
        seen=len(seen.values),
        examples=list(shapes)[:_EXAMPLES],
        is_within=is_within,
    )


def _tail(trials: int, passed: int, chance: float) -> float:
    """Return how likely at least `passed` of `trials` values pass a test that each passes with `chance` (binomial tail)."""
    log = math.lgamma(trials + 1)
    terms = (
        log
        - math.lgamma(k + 1)
        - math.lgamma(trials - k + 1)
        + k * math.log(chance)
        + (trials - k) * math.log1p(-chance)
        for k in range(passed, trials + 1)
    )
    return min(1.0, math.fsum(math.exp(term) for term in terms))
