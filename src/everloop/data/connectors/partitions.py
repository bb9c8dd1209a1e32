"""Columns that stand in folder names: `year=2013/month=1/rows.parquet`.

Pure.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING
from urllib.parse import unquote

import pyarrow as pa

from everloop.data.connectors.errors import SchemaDiffersError
from everloop.data.contents import DuplicateColumnError

if TYPE_CHECKING:
    from collections.abc import Sequence

# What Hive, Spark and Delta write for a missing value.
_MISSING = "__HIVE_DEFAULT_PARTITION__"
# Leading zeros are text: 007 is no number.
_WHOLE = re.compile(r"-?(0|[1-9]\d{0,17})")


class Partitions:
    """The columns that the paths of some files share; whole numbers where each value is one, else text.

    Args:
        paths: relative to the folder, with `/`.

    Raises:
        SchemaDiffersError: a path has other columns than the first one.
    """

    def __init__(self, paths: Sequence[str]) -> None:
        self._values = {path: _parse(path) for path in paths}
        first = next(iter(self._values.values()), {})
        for path, values in self._values.items():
            if list(values) != list(first):
                raise SchemaDiffersError(
                    f"{path} has the folders {_shown(list(values))} where {paths[0]} has {_shown(list(first))}. "
                    "Give every file the same partition folders.",
                    subject=path,
                )
        self.schema = pa.schema([(name, self._type(name)) for name in first])

    def add(self, table: pa.Table, path: str) -> pa.Table:
        """Return the rows with the columns of their file's folders behind."""
        for field in self.schema:
            text = self._values[path][field.name]
            value = int(text) if text is not None and pa.types.is_integer(field.type) else text
            filled = pa.repeat(pa.scalar(value, field.type), table.num_rows)
            table = table.append_column(field, filled)
        return table

    def refuse_doubles(self, names: Sequence[str], path: str) -> None:
        """Refuse a file that has a column of its own with the name of a folder's."""
        twice = sorted({name.lower() for name in names} & {name.lower() for name in self.schema.names})
        if twice:
            raise DuplicateColumnError(
                f"{path} has a column {twice[0]}, and stands in a folder {twice[0]}=. Rename one of them.",
                subject=path,
                details={"columns": twice},
            )

    def _type(self, name: str) -> pa.DataType:
        values = [found[name] for found in self._values.values()]
        whole = all(value is None or _WHOLE.fullmatch(value) for value in values)
        return pa.int64() if whole and any(value is not None for value in values) else pa.string()


def _parse(path: str) -> dict[str, str | None]:
    found: dict[str, str | None] = {}
    for part in path.split("/")[:-1]:
        name, equals, value = part.partition("=")
        if equals and name:
            found[unquote(name)] = None if value == _MISSING else unquote(value)
    return found


def _shown(names: Sequence[str]) -> str:
    return "/".join(f"{name}=" for name in names) or "none"
