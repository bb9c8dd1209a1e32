"""The public `Table`: an immutable table, in memory or stored as Parquet parts in the object store.

A stored table is read only when asked, through local files. Pickled, it is its reference; a process that
unpickles one tells this module its object store once, with `use_objects`. Tests:
tests/unit/data/test_table.py.
"""

from __future__ import annotations

import tempfile
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.parquet as pq

from everloop.core.digests import Digest
from everloop.core.errors import EverloopError
from everloop.data.contents import CHUNK_ROWS, chunk_digests, columns_of, content_digest, normalise
from everloop.data.records import Column, Part, TableReference

if TYPE_CHECKING:
    from collections.abc import Sequence

    import pandas as pd
    import polars as pl

    from everloop.kernel.objects import Objects

# Rows of one part and of one of its row groups: a part is the unit of storage, a row group the unit of
# reading.
PART_ROWS = 4_000_000
_GROUP_ROWS = 131_072
_process: dict[str, Objects] = {}


class UnboundTableError(EverloopError):
    """A table that is stored elsewhere was read in a process that knows no object store."""

    code = "data.unbound-table"
    status = 500


def use_objects(objects: Objects) -> None:
    """Let tables that are unpickled in this process read from `objects`."""
    _process["objects"] = objects


class Table:
    """An immutable table: columns, and rows in order.

    Threads may share it. Make one with `Table.of(frame)`, read one with `app.data.read("flights@v3")`.

    Attributes:
        name: `flights@v3` when it is a dataset version, else empty.
        columns: names and types.
    """

    def __init__(
        self,
        *,
        arrow: pa.Table | None = None,
        reference: TableReference | None = None,
        objects: Objects | None = None,
        name: str = "",
    ) -> None:
        """Use `Table.of` or `Table.open`."""
        self._arrow: pa.Table | None = None if arrow is None else normalise(arrow)
        self._reference = reference
        self._objects = objects
        self.name = name or (reference.name if reference else "")
        self.columns: list[Column] = reference.columns if reference else columns_of(self._memory)

    @classmethod
    def of(cls, source: object, *, name: str = "") -> Table:
        """Make a table of an Arrow, pandas or Polars table, a DuckDB relation, records, or a dict of columns.

        Raises:
            UnsupportedSourceError: the source is none of these, or a file's reading failed.
        """
        if isinstance(source, Table):
            return source
        from everloop.data.connectors import to_arrow

        return cls(arrow=to_arrow(source), name=name)

    @classmethod
    def open(cls, reference: TableReference, objects: Objects) -> Table:
        """Return the stored table of a reference."""
        return cls(reference=reference, objects=objects)

    @property
    def _memory(self) -> pa.Table:
        if self._arrow is None:
            raise TypeError("a table is made of rows or of a reference; use Table.of or Table.open")
        return self._arrow

    @property
    def column_names(self) -> list[str]:
        """Return the names in order."""
        return [column.name for column in self.columns]

    @property
    def num_rows(self) -> int:
        """Return the number of rows."""
        return self._memory.num_rows if self._reference is None else self._reference.rows

    @cached_property
    def digest(self) -> Digest:
        """Return the digest of the logical content; it does not depend on how the rows are stored."""
        if self._reference is not None:
            return Digest(self._reference.digest)
        return content_digest(self.columns, chunk_digests([self._memory]), self.num_rows)

    @property
    def reference(self) -> TableReference | None:
        """Return the reference of a stored table, None for one in memory."""
        return self._reference

    def store(self, objects: Objects) -> Table:
        """Return this table stored in `objects` as Parquet parts; do nothing when it is."""
        if self._reference is not None:
            return self
        parts = write_parts(self._memory, objects)
        chunks = chunk_digests([self._memory])
        digest = content_digest(self.columns, chunks, self.num_rows)
        reference = TableReference(
            name=self.name, digest=digest, columns=self.columns, parts=parts, chunks=chunks
        )
        return Table(reference=reference, objects=objects)

    def to_arrow(self, columns: Sequence[str] | None = None) -> pa.Table:
        """Return an Arrow table, of some columns when named; stored parts are memory-mapped."""
        if self._arrow is not None:
            return self._arrow if columns is None else self._arrow.select(list(columns))
        return pa.concat_tables([read_part(path, columns) for path in self.paths()])

    def to_pandas(self, columns: Sequence[str] | None = None) -> pd.DataFrame:
        """Return a pandas frame; missing integers become floats with NaN, as pandas does."""
        return self.to_arrow(columns).to_pandas()

    def to_polars(self, columns: Sequence[str] | None = None) -> pl.DataFrame:
        """Return a Polars frame."""
        import polars as pl

        frame = pl.from_arrow(self.to_arrow(columns))
        if not isinstance(frame, pl.DataFrame):
            raise TypeError("Polars made a series of a table")
        return frame

    @property
    def schema(self) -> pa.Schema:
        """Return the Arrow schema; of a stored table it is read from the first part."""
        if self._arrow is not None:
            return self._arrow.schema
        return normalise(pq.read_schema(self.paths()[0]).empty_table()).schema

    def sql(self, query: str) -> Table:
        """Return the result of a query in DuckDB's SQL; the table is named `this`."""
        from everloop.data.engine import run_query

        return Table(arrow=run_query(query, this=self))

    def head(self, rows: int = 10) -> Table:
        """Return the first rows."""
        return self.sql(f"SELECT * FROM this LIMIT {int(rows)}")

    def paths(self) -> list[Path]:
        """Return local Parquet files with the rows in order; empty for a table in memory."""
        if self._reference is None:
            return []
        objects = self._objects or _process.get("objects")
        if objects is None:
            raise UnboundTableError(
                f"table {self.name or self.digest[:11]} is stored elsewhere and this process knows no object store. "
                "Call everloop.data.table.use_objects(objects) first.",
                subject=self.name,
            )
        return [objects.path(Digest(part.digest)) for part in self._reference.parts]

    def tail_rows(self) -> pa.Table:
        """Return the rows of the last, unfilled chunk, for an append."""
        count = self.num_rows % CHUNK_ROWS
        if self._reference is None or not count:
            return self.to_arrow().slice(self.num_rows - count)
        tables: list[pa.Table] = []
        for path in reversed(self.paths()):
            tables.insert(0, read_part(path))
            if sum(table.num_rows for table in tables) >= count:
                break
        rows = pa.concat_tables(tables)
        return rows.slice(rows.num_rows - count)

    def __len__(self) -> int:
        """Return the number of rows."""
        return self.num_rows

    def __eq__(self, other: object) -> bool:
        """Compare by content."""
        return isinstance(other, Table) and self.digest == other.digest

    def __hash__(self) -> int:
        """Hash by content."""
        return hash(self.digest)

    def __repr__(self) -> str:
        """Show name, size and digest, never rows."""
        return (
            f"<Table {self.name or self.digest[:11]}: {self.num_rows:,} rows × {len(self.columns)} columns>"
        )

    def __getstate__(self) -> dict[str, Any]:
        """Leave the object store behind."""
        return {"arrow": self._arrow, "reference": self._reference, "name": self.name}

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Come back, bound to the process's object store on first use."""
        self._arrow, self._reference, self._objects = state["arrow"], state["reference"], None
        self.name = state["name"]
        self.columns = self._reference.columns if self._reference else columns_of(self._memory)


def write_parts(table: pa.Table, objects: Objects) -> list[Part]:
    """Store the rows as Parquet objects of at most 4 million rows; no rows make one empty part."""
    parts = []
    for start in range(0, max(table.num_rows, 1), PART_ROWS):
        rows = table.slice(start, PART_ROWS)
        with tempfile.NamedTemporaryFile(prefix="everloop-part-", suffix=".parquet") as file:
            pq.write_table(rows, file.name, compression="zstd", row_group_size=_GROUP_ROWS)
            path = Path(file.name)
            digest = objects.put(path)
            parts.append(Part(digest=digest, rows=rows.num_rows, size_bytes=path.stat().st_size))
    return parts


def read_part(path: Path, columns: Sequence[str] | None = None) -> pa.Table:
    """Read one Parquet part."""
    chosen = None if columns is None else list(columns)
    with pq.ParquetFile(path, memory_map=True) as file:
        return normalise(
            file.read(columns=chosen) if chosen is None else file.read(columns=chosen).select(chosen)
        )
