"""The client's half of `add`: read a source to local parts, bring it into shape, decide how its content is stored.

Tests: tests/unit/data/test_service.py, tests/property/test_dataset_versions.py.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal, NamedTuple

import msgspec
import pyarrow as pa

from everloop.core.errors import ConflictError, InvalidInputError
from everloop.data import deltas, rules
from everloop.data.connectors import open_source
from everloop.data.engine import connect, quote
from everloop.data.parts import PartWriter
from everloop.data.rows import content_digest
from everloop.data.table import Table

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from contextlib import ExitStack

    from everloop.data.records import Suite, TableReference
    from everloop.kernel.objects import Objects

Mode = Literal["replace", "append", "upsert"]


class DuplicateKeyError(ConflictError):
    """Two rows have the same keys."""

    code = "data.duplicate-key"


class KeyColumnError(InvalidInputError):
    """A key is no column of the table, or there is none where one is needed."""

    code = "data.key-column"


class Request(NamedTuple):
    """What a call of `add` asks for; see there."""

    name: str
    mode: Mode
    branch: str
    suite: Suite | None
    message: str
    keys: Sequence[str] | None
    event_time: str | None
    known_time: str | None
    run: str


class StagedTable(Table):
    """A table whose parts lie on the local disk and are not stored yet."""

    def __init__(self, writer: PartWriter) -> None:
        super().__init__(reference=writer.reference(), pieces=writer.pieces())
        self.writer = writer

    def store(self, objects: Objects) -> Table:
        """Return this table stored as it is."""
        return Table(reference=self.writer.reference(self.writer.store(objects)), objects=objects)


def stage(source: object, stack: ExitStack, options: dict[str, Any]) -> Table:
    """Return a source as a table: one that is stored already as it is, any other read to local parts piece by piece."""
    if isinstance(source, Table):
        return source if source.reference is not None else staged([source.to_arrow()], stack)
    stream = open_source(source, **options)
    return staged(_with_columns(stream.batches(), stream), stack)


def staged(tables: Iterable[pa.Table], stack: ExitStack) -> StagedTable:
    """Write rows to local parts that stay until the stack closes."""
    writer = stack.enter_context(PartWriter())
    for table in tables:
        writer.write(table)
    return StagedTable(writer.finish())


def in_shape_of(name: str, before: Table, rows: Table, stack: ExitStack) -> Table:
    """Return the rows in the parent's column order and types.

    Raises:
        SchemaMismatchError: a value does not fit its column's type.
    """
    if rows.columns == before.columns:
        return rows
    try:
        return staged((one.cast(before.schema) for one in rows.batches(before.column_names)), stack)
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError) as error:
        raise rules.SchemaMismatchError(
            f"these rows do not fit dataset {name}: {error}. Convert the column, "
            'or add the rows with mode="replace" to start a version with a new schema.',
            subject=f"dataset:{name}",
        ) from error


def refuse_repeated_keys(
    name: str, rows: Table, keys: Sequence[str], *, present: Table | None, mode: Mode
) -> None:
    """Refuse keys that are missing, or rows that share theirs with another or with one of `present`.

    Raises:
        KeyColumnError, DuplicateKeyError: as named.
    """
    missing = [key for key in keys if key not in rows.column_names]
    if missing or (mode == "upsert" and not keys):
        raise KeyColumnError(
            f"dataset {name}: {', '.join(missing)} cannot be a key, it is no column; there are: {', '.join(rows.column_names)}."
            if missing
            else f'dataset {name} has no keys, so rows cannot be put in place of others. Name them, keys=["id"], when adding.',
            subject=f"dataset:{name}",
        )
    if not keys:
        return
    listed = ", ".join(map(quote, keys))
    again = f"SELECT {listed}, count(*) AS times FROM incoming GROUP BY ALL HAVING count(*) > 1"
    if present is not None:
        again += f" UNION ALL SELECT {listed}, 2 FROM incoming SEMI JOIN present USING ({listed})"
    with connect(incoming=rows, **({"present": present} if present is not None else {})) as connection:
        found = connection.execute(f"SELECT count(*) FROM ({again})").fetchone() or (0,)
    if found[0]:
        raise DuplicateKeyError(
            f"dataset {name}: {found[0]:,} keys ({', '.join(keys)}) come more than once. Nothing was written. Remove the repeated "
            'rows, name more columns as keys, or use mode="upsert" to replace rows that are there.',
            subject=f"dataset:{name}",
            details={"keys": list(keys), "repeated": int(found[0])},
        )


def content_of(
    rows: Table, before: Table | None, keys: Sequence[str], *, mode: Mode, objects: Objects
) -> TableReference:
    """Store rows and return the content of the version."""
    if before is None or before.reference is None:
        return _whole(rows, objects)
    if mode == "upsert":
        return deltas.settle(_upserted(before.reference, rows, keys, objects), objects)
    if mode == "append":
        return _appended(before.reference, rows, objects)
    if isinstance(rows, StagedTable):
        if content_digest(rows.columns, rows.writer.tally) == before.digest:
            return before.reference
        rewritten = deltas.rewrite(before.reference, rows.writer, objects)
        if rewritten is not None:
            return deltas.settle(rewritten, objects)
    return _whole(rows, objects)


def inherited(given: str | None, parent: str, rows: Table) -> str:
    """Return the column that was named, else the parent's when the rows have it."""
    if given is not None:
        return given
    return parent if parent in rows.column_names else ""


def _whole(rows: Table, objects: Objects) -> TableReference:
    reference = rows.store(objects).reference
    if reference is None:
        raise AssertionError("a stored table has a reference")
    return msgspec.structs.replace(reference, name="")


def _appended(before: TableReference, rows: Table, objects: Objects) -> TableReference:
    new = _whole(rows, objects)
    tally = before.tally + new.tally
    whole = msgspec.structs.replace(
        before,
        name="",
        digest=content_digest(before.columns, tally),
        order=deltas.appended_order(before.order, new.order),
        tally=tally,
        parts=[*before.parts, *new.parts],
    )
    return deltas.settle(whole, objects)


def _upserted(before: TableReference, rows: Table, keys: Sequence[str], objects: Objects) -> TableReference:
    if isinstance(rows, StagedTable):
        return deltas.upsert_staged(before, rows.writer, keys, objects)
    with PartWriter() as writer:
        for piece in rows.batches():
            writer.write(piece)
        return deltas.upsert_staged(before, writer.finish(), keys, objects)


def _with_columns(batches: Iterable[pa.Table], stream: Any) -> Iterable[pa.Table]:  # noqa: ANN401 - a SourceStream
    """Yield the rows; of a source without any an empty table, so that its columns are known."""
    yield stream.schema.empty_table()
    yield from batches
