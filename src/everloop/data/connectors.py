"""Reading sources: CSV, Parquet, Arrow, pandas, Polars, DuckDB, plain Python values.

Every reader returns one Arrow table or raises a class of ours that names the file and the way out. Tests:
tests/unit/data/test_connectors.py.
"""

from __future__ import annotations

import csv
import gzip
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.compute
import pyarrow.csv
import pyarrow.parquet as pq

from everloop.core.errors import InvalidInputError, NotFoundError
from everloop.data.contents import normalise, refuse_bad_names

if TYPE_CHECKING:
    import io
    from collections.abc import Sequence

# Marks of a missing number. A text column keeps them, because NA is also a country; only the empty text is
# missing there.
_MISSING = ["", "NA", "N/A", "#N/A", "NaN", "nan", "null", "NULL", "None"]
_SEPARATORS = {".csv": ",", ".tsv": "\t"}
# Types are taken from this much of the file; a later value that does not fit widens its column.
_BLOCK_BYTES = 16 << 20
_COLUMN_FAULT = re.compile(r"In CSV column #(\d+): (.*)", re.DOTALL)


class SourceNotFoundError(NotFoundError):
    """The file to add is not there."""

    code = "data.source-not-found"


class EmptySourceError(InvalidInputError):
    """A source has no rows."""

    code = "data.empty-source"


class RaggedRowError(InvalidInputError):
    """A line of a CSV file has more or fewer fields than its header."""

    code = "data.ragged-row"


class UnreadableSourceError(InvalidInputError):
    """A file is not what its name says, or its content is broken."""

    code = "data.unreadable-source"


class UnsupportedSourceError(InvalidInputError):
    """A source is of a kind that cannot be read."""

    code = "data.unsupported-source"


def to_arrow(source: object) -> pa.Table:
    """Return the rows of any source in the normal form; see `contents.normalise`.

    A missing value of pandas (NaN, NaT, None, NA) is missing here too; a NaN of Arrow, Parquet, Polars and
    DuckDB stays a NaN.

    Raises:
        SourceNotFoundError, EmptySourceError, RaggedRowError, UnreadableSourceError, UnsupportedSourceError,
        DuplicateColumnError, UnnamedColumnError: as named.
    """
    table = read_file(Path(source)) if isinstance(source, str | Path) else _from_memory(source)
    if table.num_columns == 0:
        raise EmptySourceError(f"{_describe(source)} has no columns, so there is nothing to add.")
    return normalise(table)


def refuse_empty(rows: int, source: object) -> None:
    """Refuse a source without rows.

    Raises:
        EmptySourceError: with the name of the source.
    """
    if rows == 0:
        raise EmptySourceError(
            f"{_describe(source)} has no rows, so there is nothing to add. Check the export that wrote it.",
            subject=_describe(source),
        )


def read_file(path: Path) -> pa.Table:
    """Read a CSV, TSV (also gzipped) or Parquet file."""
    if not path.is_file():
        raise SourceNotFoundError(f"there is no file {path}. Check the path.", subject=str(path))
    if path.stat().st_size == 0:
        raise EmptySourceError(
            f"{path} is empty (0 bytes). Check the export that wrote it.", subject=str(path)
        )
    suffix = path.with_suffix("").suffix if path.suffix == ".gz" else path.suffix
    if suffix.lower() in _SEPARATORS:
        return _read_csv(path, _SEPARATORS[suffix.lower()])
    if suffix.lower() in (".parquet", ".pq"):
        return _read_parquet(path)
    raise UnsupportedSourceError(
        f"{path} is neither .csv, .csv.gz, .tsv nor .parquet. Rename it, or read it yourself and add the data frame.",
        subject=str(path),
    )


def _read_parquet(path: Path) -> pa.Table:
    try:
        with pq.ParquetFile(path) as file:
            return file.read()
    except (pa.ArrowInvalid, OSError) as error:
        raise UnreadableSourceError(
            f"{path} is not a whole Parquet file: {error}. Write it again, or fetch it again.",
            subject=str(path),
        ) from error


def _read_csv(path: Path, separator: str) -> pa.Table:
    header = _header(path, separator)
    refuse_bad_names(header)
    types: dict[str, pa.DataType] = {}
    while True:
        try:
            return _empty_text_is_missing(_parse_csv(path, separator, types))
        except pa.ArrowInvalid as error:
            fault = _COLUMN_FAULT.search(str(error))
            if fault is None:
                raise _csv_error(path, separator, header, error) from error
            if "invalid UTF8" in fault[2]:
                raise _wrong_encoding(path) from error
            name = header[int(fault[1])]
            if name in types and pa.types.is_string(types[name]):
                raise _csv_error(path, separator, header, error) from error
            types[name] = pa.string() if name in types or " to int64" not in fault[2] else pa.float64()


def _parse_csv(path: Path, separator: str, types: dict[str, Any]) -> pa.Table:
    return pa.csv.read_csv(
        path,
        read_options=pa.csv.ReadOptions(block_size=_BLOCK_BYTES),
        parse_options=pa.csv.ParseOptions(delimiter=separator, newlines_in_values=True),
        convert_options=pa.csv.ConvertOptions(
            column_types=types, null_values=_MISSING, strings_can_be_null=False
        ),
    )


def _empty_text_is_missing(table: pa.Table) -> pa.Table:
    for index, field in enumerate(table.schema):
        if pa.types.is_string(field.type):
            column = table.column(index)
            is_empty = pa.compute.equal(column, pa.scalar(""))
            table = table.set_column(index, field.name, pa.compute.if_else(is_empty, None, column))
    return table


def _header(path: Path, separator: str) -> list[str]:
    try:
        with _open_text(path) as file:
            header = next(csv.reader(file, delimiter=separator), [])
    except UnicodeDecodeError as error:
        raise _wrong_encoding(path) from error
    if not header:
        raise EmptySourceError(
            f"{path} has no header line. Its first line must name the columns.", subject=str(path)
        )
    return header


def _csv_error(path: Path, separator: str, header: Sequence[str], error: Exception) -> InvalidInputError:
    """Read the file once more, slowly, to find the line at fault."""
    with _open_text(path) as file:
        reader = csv.reader(file, delimiter=separator)
        for row in reader:
            if row and len(row) != len(header):
                return RaggedRowError(
                    f"{path}, line {reader.line_num}: {len(row)} fields where the header has {len(header)}. "
                    "Mend the line (often an unquoted separator or a cut-off export), then add the file again.",
                    subject=str(path),
                    details={"line": reader.line_num, "fields": len(row), "expected": len(header)},
                )
    return UnreadableSourceError(
        f"{path} cannot be read as CSV: {error}. Mend it and add it again.", subject=str(path)
    )


def _wrong_encoding(path: Path) -> UnreadableSourceError:
    return UnreadableSourceError(
        f"{path} is not UTF-8 text. Save it as UTF-8 and add it again.", subject=str(path)
    )


def _open_text(path: Path) -> io.TextIOBase:
    if path.suffix == ".gz":
        return gzip.open(path, "rt", encoding="utf-8-sig", newline="")
    return path.open(encoding="utf-8-sig", newline="")


def _from_memory(source: object) -> pa.Table:
    if isinstance(source, pa.Table):
        return source
    if isinstance(source, pa.RecordBatch):
        return pa.Table.from_batches([source])
    if isinstance(source, pa.RecordBatchReader):
        return source.read_all()
    library = type(source).__module__.partition(".")[0].lstrip("_")
    if library in _LIBRARIES:
        return _LIBRARIES[library](source)
    if isinstance(source, dict):
        return _from_columns(source)
    if isinstance(source, list):
        return _from_records(source)
    raise UnsupportedSourceError(
        f"{_describe(source)} cannot be added. Give a path, an Arrow table, a pandas or Polars frame, a DuckDB relation, "
        "a list of records or a dict of columns.",
    )


def _from_pandas(frame: Any) -> pa.Table:  # noqa: ANN401 - pandas is imported by whoever made the frame
    if not hasattr(frame, "columns"):
        raise UnsupportedSourceError(f"a pandas {type(frame).__name__} is no table. Use .to_frame().")
    names = [str(name) for name in frame.columns]
    refuse_bad_names(names)
    try:
        return pa.Table.from_pandas(frame, preserve_index=False).rename_columns(names)
    except (pa.ArrowInvalid, pa.ArrowTypeError) as error:
        raise UnreadableSourceError(
            f"the data frame holds a column of mixed types: {error}. Convert it to one type."
        ) from error


def _from_polars(frame: Any) -> pa.Table:  # noqa: ANN401 - as above
    frame = frame.collect() if hasattr(frame, "collect") else frame
    if not hasattr(frame, "columns"):
        raise UnsupportedSourceError(f"a Polars {type(frame).__name__} is no table. Use .to_frame().")
    table: pa.Table = frame.to_arrow()
    return table


def _from_duckdb(relation: Any) -> pa.Table:  # noqa: ANN401 - as above
    if not hasattr(relation, "to_arrow_table"):
        raise UnsupportedSourceError(
            f"a DuckDB {type(relation).__name__} is no relation. Use connection.sql(...)."
        )
    table: pa.Table = relation.to_arrow_table()
    return table


_LIBRARIES = {"pandas": _from_pandas, "polars": _from_polars, "duckdb": _from_duckdb}


def _from_columns(columns: dict[Any, Any]) -> pa.Table:
    lengths = {str(name): len(values) for name, values in columns.items()}
    if len(set(lengths.values())) > 1:
        raise UnreadableSourceError(
            f"the columns have different lengths: {lengths}. Give each the same number of values."
        )
    try:
        return pa.table({str(name): pa.array(values, from_pandas=True) for name, values in columns.items()})
    except (pa.ArrowInvalid, pa.ArrowTypeError) as error:
        raise UnreadableSourceError(
            f"a column holds mixed types: {error}. Give each column one type."
        ) from error


def _from_records(records: list[Any]) -> pa.Table:
    if not all(isinstance(record, dict) for record in records):
        raise UnsupportedSourceError("a list must hold records (dicts of column and value).")
    names = list(dict.fromkeys(name for record in records for name in record))
    return _from_columns({name: [record.get(name) for record in records] for name in names})


def _describe(source: object) -> str:
    return str(source) if isinstance(source, str | Path) else f"the {type(source).__name__}"
