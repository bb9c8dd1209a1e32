"""A portable copy of every table, readable by either database; backup, restore and the copy before a migration.

One zip: `catalog.json` with the revision and the row counts, and one JSON-lines file a table in column order. Tests:
tests/integration/test_backup.py.
"""

from __future__ import annotations

import base64
import zipfile
from typing import TYPE_CHECKING, Any

import msgspec
import sqlalchemy as sa

from everloop.core.errors import EverloopError
from everloop.kernel.catalog.revision import HEAD, VERSION_TABLE

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator
    from pathlib import Path

_ROWS_AT_ONCE = 5_000


class DumpHeader(msgspec.Struct, frozen=True, kw_only=True):
    """What a dump holds."""

    revision: str
    rows: dict[str, int]


class UnreadableDumpError(EverloopError):
    """A file is not a backup, or is one of another schema."""

    code = "catalog.unreadable-dump"


class NotEmptyError(EverloopError):
    """The catalog to restore into holds rows."""

    code = "catalog.not-empty"
    status = 409


def dump_tables(connection: sa.Connection, target: Path, *, revision: str = HEAD) -> DumpHeader:
    """Write every table of the database to the zip file `target`; it appears whole or not at all."""
    partial = target.with_suffix(".partial")
    counts: dict[str, int] = {}
    with zipfile.ZipFile(partial, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
        for table in _tables(connection):
            counts[table.name] = _dump_table(connection, table, archive)
        header = DumpHeader(revision=revision, rows=counts)
        archive.writestr("catalog.json", msgspec.json.encode(header))
    partial.replace(target)
    return header


def read_header(source: Path) -> DumpHeader:
    """Return what a dump holds.

    Raises:
        UnreadableDumpError: the file is no dump.
    """
    try:
        with zipfile.ZipFile(source) as archive:
            return msgspec.json.decode(archive.read("catalog.json"), type=DumpHeader)
    except (OSError, KeyError, zipfile.BadZipFile, msgspec.DecodeError) as error:
        raise UnreadableDumpError(
            f"{source} is not a backup of a catalog: {error}. Choose a file made by `everloop backup`."
        ) from error


def load_tables(connection: sa.Connection, source: Path, *, leave_out: Collection[str] = ()) -> DumpHeader:
    """Fill an empty, migrated database from a dump.

    Args:
        connection: an open write transaction.
        source: the dump.
        leave_out: tables that the caller fills itself.

    Raises:
        UnreadableDumpError: the file is no dump, or of another schema.
        NotEmptyError: a table holds rows already.
    """
    header = read_header(source)
    if header.revision != HEAD:
        raise UnreadableDumpError(
            f"{source} is a backup of schema {header.revision}; this Everloop has {HEAD}. Restore it with the Everloop that wrote it, "
            "which then upgrades in place."
        )
    tables = {table.name: table for table in _tables(connection)}
    refuse_filled(connection, except_for=leave_out)
    with zipfile.ZipFile(source) as archive:
        for name in [table for table in tables if table in header.rows and table not in leave_out]:
            _load_table(connection, tables[name], archive)
    _advance_sequences(connection, tables)
    return header


def refuse_filled(connection: sa.Connection, *, except_for: Collection[str] = ()) -> None:
    """Refuse a database that holds rows.

    Args:
        connection: to the database.
        except_for: tables that may.

    Raises:
        NotEmptyError: with the first table that does.
    """
    for table in _tables(connection):
        filled = sa.select(sa.literal(1)).select_from(table).limit(1)
        if table.name not in except_for and connection.execute(filled).first():
            raise NotEmptyError(
                f"the catalog holds rows in {table.name}. Restore into an empty home (--home NEW_FOLDER)."
            )


def _tables(connection: sa.Connection) -> list[sa.Table]:
    found = sa.MetaData()
    found.reflect(connection)
    return [table for table in found.sorted_tables if table.name != VERSION_TABLE]


def _dump_table(connection: sa.Connection, table: sa.Table, archive: zipfile.ZipFile) -> int:
    count = 0
    with archive.open(f"{table.name}.jsonl", "w", force_zip64=True) as file:
        for row in connection.execute(sa.select(table).execution_options(yield_per=_ROWS_AT_ONCE)):
            file.write(msgspec.json.encode([_plain(value) for value in row]) + b"\n")
            count += 1
    return count


def _plain(value: object) -> object:
    return {"b64": base64.b64encode(value).decode()} if isinstance(value, bytes) else value


def _stored(value: Any) -> Any:  # noqa: ANN401 - a database value
    return base64.b64decode(value["b64"]) if isinstance(value, dict) else value


def _rows(table: sa.Table, archive: zipfile.ZipFile) -> Iterator[dict[str, Any]]:
    names = [column.name for column in table.columns]
    with archive.open(f"{table.name}.jsonl") as file:
        for line in file:
            yield dict(zip(names, map(_stored, msgspec.json.decode(line)), strict=True))


def _load_table(connection: sa.Connection, table: sa.Table, archive: zipfile.ZipFile) -> None:
    batch: list[dict[str, Any]] = []
    for row in _rows(table, archive):
        batch.append(row)
        if len(batch) == _ROWS_AT_ONCE:
            connection.execute(table.insert(), batch)
            batch = []
    if batch:
        connection.execute(table.insert(), batch)


def _advance_sequences(connection: sa.Connection, tables: dict[str, sa.Table]) -> None:
    """Let PostgreSQL's counters go on after the rows that came with their own numbers."""
    if connection.dialect.name != "postgresql":
        return
    for table in tables.values():
        for column in table.primary_key.columns:
            if isinstance(column.type, sa.BigInteger | sa.Integer) and column.server_default is not None:
                connection.execute(
                    sa.text(
                        f"SELECT setval(pg_get_serial_sequence('{table.name}', '{column.name}'), "
                        f"(SELECT coalesce(max({column.name}), 1) FROM {table.name}))"
                    )
                )
