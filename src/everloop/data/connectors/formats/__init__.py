"""The formats of files, one each; a format is loaded when its first file is opened.

Tests: tests/unit/data/connectors/formats.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

from everloop.data.connectors.errors import UnsupportedSourceError
from everloop.data.connectors.files import parse_name
from everloop.data.connectors.options import call

if TYPE_CHECKING:
    from everloop.data.connectors.files import SourceFile
    from everloop.data.connectors.protocol import SourceStream

_CSV = ("delimited", "open_csv")
_TSV = ("delimited", "open_tsv")
_JSON = ("json_lines", "open_json_lines")
_PARQUET = ("parquet", "open_parquet")
_ARROW = ("arrow_ipc", "open_arrow")
_EXCEL = ("excel", "open_excel")
# Suffix of a file, or the option `format`, to where it is opened.
FORMATS = {
    "csv": _CSV, "tsv": _TSV, "tab": _TSV,
    "jsonl": _JSON, "ndjson": _JSON, "json": _JSON,
    "parquet": _PARQUET, "pq": _PARQUET,
    "arrow": _ARROW, "arrows": _ARROW, "feather": _ARROW, "ipc": _ARROW,
    "xlsx": _EXCEL, "xlsm": _EXCEL, "xlsb": _EXCEL, "xls": _EXCEL, "ods": _EXCEL,
}  # fmt: skip
# Formats whose types are taken from values, so that the files of a folder may differ in them; whether the opener
# takes the types of the files before.
TYPED_BY_VALUES = {_CSV: True, _TSV: True, _JSON: True, _EXCEL: False}


def format_of(name: str, chosen: str = "") -> tuple[str, str]:
    """Return where files of this name are opened.

    Args:
        name: of the file.
        chosen: the format when the name does not say it, for example `csv`.

    Raises:
        UnsupportedSourceError: no format reads such files.
    """
    found = FORMATS.get(chosen or parse_name(name).format)
    if found is None:
        shown = f"the format {chosen}" if chosen else f"{name}, by its suffix,"
        raise UnsupportedSourceError(
            f"{shown} is none that can be read: {', '.join(FORMATS)} (text also .gz, .zst, .bz2). "
            'Rename the file, name its format with format="csv", or read it yourself and add the data frame.',
            subject=name,
        )
    return found


def open_file(file: SourceFile, *, format: str = "", **options: object) -> SourceStream:  # noqa: A002 - what it is
    """Open one file.

    Args:
        file: to read.
        format: of the file when its name does not say it.
        **options: of the format: `encoding`, `separator` (CSV, TSV), `encoding` (JSON lines), `columns` (Parquet),
            `sheet` (Excel).
    """
    module, function = format_of(file.name, format)
    opener = getattr(import_module(f"{__name__}.{module}"), function)
    stream: SourceStream = call(opener, file, options, name=file.name)
    return stream
