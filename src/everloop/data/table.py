"""The public `Table`: an immutable table, in memory or stored as Parquet parts in the object store.

A stored table is read only when asked, through local files. Pickled, it is its reference; a process that
unpickles one tells this module its object store once, with `use_objects`. Tests:
tests/unit/data/test_table.py.
"""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING, Any

import msgspec
import pyarrow as pa
import pyarrow.parquet as pq

from everloop.core.digests import Digest
from everloop.core.errors import EverloopError
from everloop.data.contents import columns_of, normalise
from everloop.data.parts import Piece, open_piece, read_groups, read_pieces, store_rows
from everloop.data.rows import content_digest, hash_rows, sequence_digest, tally

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    import pandas as pd
    import polars as pl

    from everloop.data.records import Column, TableReference
    from everloop.kernel.objects import Objects

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
        pieces: list[Piece] | None = None,
    ) -> None:
        """Use `Table.of` or `Table.open`."""
        self._pieces = pieces
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
        """Return the digest of the content: columns, types and rows in any order."""
        if self._reference is not None:
            return Digest(self._reference.digest)
        return content_digest(self.columns, tally(hash_rows(self._memory)))

    @cached_property
    def order(self) -> Digest:
        """Return the digest of the rows in the order they are read; equal orders have equal rows."""
        if self._reference is not None:
            return Digest(self._reference.order)
        return sequence_digest([hash_rows(self._memory)])

    @property
    def reference(self) -> TableReference | None:
        """Return the reference of a stored table, None for one in memory."""
        return self._reference

    def store(self, objects: Objects) -> Table:
        """Return this table stored in `objects` as Parquet parts; do nothing when it is."""
        if self._reference is not None:
            return self
        reference = msgspec.structs.replace(store_rows([self._memory], objects), name=self.name)
        return Table(reference=reference, objects=objects)

    def to_arrow(self, columns: Sequence[str] | None = None) -> pa.Table:
        """Return an Arrow table, of some columns when named; stored parts are memory-mapped."""
        if self._arrow is not None:
            return self._arrow if columns is None else self._arrow.select(list(columns))
        return pa.concat_tables(read_pieces(self.pieces(), columns))

    def batches(self, columns: Sequence[str] | None = None) -> Iterator[pa.Table]:
        """Yield the rows in order, a row group at a time."""
        if self._arrow is not None:
            yield self.to_arrow(columns)
        for piece in self.pieces():
            for _, rows in read_groups(piece, columns):
                yield rows

    def to_pandas(self, columns: Sequence[str] | None = None) -> pd.DataFrame:
        """Return a pandas frame; missing integers become floats with NaN, as pandas does.

        Its `attrs["everloop"]` name the version, so that `autolog` finds what a model was trained on.
        """
        frame: pd.DataFrame = self.to_arrow(columns).to_pandas()
        if self._reference is not None and self.name:
            frame.attrs["everloop"] = {"ref": self.name, "digest": self._reference.digest}
        return frame

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
        return normalise(pq.read_schema(self.pieces()[0].path).empty_table()).schema

    def sql(self, query: str) -> Table:
        """Return the result of a query in DuckDB's SQL; the table is named `this`."""
        from everloop.data.engine import run_query

        return Table(arrow=run_query(query, this=self))

    def head(self, rows: int = 10) -> Table:
        """Return the first rows."""
        return self.sql(f"SELECT * FROM this LIMIT {int(rows)}")

    def pieces(self) -> list[Piece]:
        """Return the stored parts as local files, with the rows in order; empty for a table in memory."""
        if self._reference is None:
            return []
        if self._pieces is None:
            objects = self._objects or _process.get("objects")
            if objects is None:
                raise UnboundTableError(
                    f"table {self.name or self.digest[:11]} is stored elsewhere and this process knows no object store. "
                    "Call everloop.data.table.use_objects(objects) first.",
                    subject=self.name,
                )
            return [open_piece(part, objects) for part in self._reference.parts]
        return self._pieces

    def __len__(self) -> int:
        """Return the number of rows."""
        return self.num_rows

    def __eq__(self, other: object) -> bool:
        """Compare columns, types and rows in their order."""
        return isinstance(other, Table) and self.columns == other.columns and self.order == other.order

    def __hash__(self) -> int:
        """Hash by content."""
        return hash(self.order)

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
        self._pieces = None
        self.name = state["name"]
        self.columns = self._reference.columns if self._reference else columns_of(self._memory)
