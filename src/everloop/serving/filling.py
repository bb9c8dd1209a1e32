"""Features that a request leaves out, filled in from the online rows of the deployment's feature views.

The body that goes on is the one that is decoded, answered and logged, so the log holds the values that were used.
Tests: tests/unit/serving/test_filling.py, tests/integration/test_gateway.py.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from everloop.data.features.form import Form
    from everloop.data.features.lookup import Lookup

_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder().decode


class Filler:
    """Fills requests of one deployment. Threads may share it.

    Args:
        lookup: the online rows.
        views: references of feature views, `weather@v2`.
        inputs: the columns that the deployment's models take.
    """

    def __init__(self, lookup: Lookup, views: Sequence[str], inputs: Collection[str]) -> None:
        self._lookup = lookup
        self._views = views
        self._inputs = frozenset(inputs)

    def fill(self, body: bytes) -> bytes:
        """Return the body with the features that its rows left out, and without keys that are no input.

        A value that the client gave stays. What is no request is returned as it is, for the decoder to say what is wrong.

        Raises:
            NotMaterializedError, FeatureViewError: as named.
        """
        try:
            document = _decode(body)
        except msgspec.DecodeError:
            return body
        rows = _rows(document)
        if not rows:
            return body
        keys = set[str]()
        for view in self._views:
            keys |= self._fill_from(view, rows)
        for row in rows:
            for key in keys - self._inputs:
                row.pop(key, None)
        return _encode(
            {**{name: value for name, value in document.items() if name != "columns"}, "rows": rows}
        )

    def _fill_from(self, view: str, rows: list[dict[str, Any]]) -> set[str]:
        form = self._lookup.form(view)
        names = {field.name for field in form.keys}
        lacking = [
            row for row in rows if names <= row.keys() and not _given(form) & self._inputs <= row.keys()
        ]
        if lacking:
            found = self._lookup.rows(
                view, lambda now: [[row[field.name] for field in now.keys] for row in lacking]
            )
            for row, values in zip(lacking, found.rows, strict=True):
                for name, value in form.numbers(values or [None] * len(form.features)).items():
                    if name in self._inputs:
                        row.setdefault(name, value)
        return names


def _given(form: Form) -> set[str]:
    return {field.name for field in form.features}


def _rows(document: object) -> list[dict[str, Any]]:
    """Return the rows of a request in whichever of its two forms; none when it has neither or is wrong."""
    if not isinstance(document, dict) or (document.get("rows") is None) == (document.get("columns") is None):
        return []
    rows, columns = document.get("rows"), document.get("columns")
    if isinstance(columns, dict):
        lists = list(columns.values())
        if not lists or not all(isinstance(one, list) and len(one) == len(lists[0]) for one in lists):
            return []
        rows = [dict(zip(columns, values, strict=True)) for values in zip(*lists, strict=True)]
    return rows if isinstance(rows, list) and all(isinstance(row, dict) for row in rows) else []
