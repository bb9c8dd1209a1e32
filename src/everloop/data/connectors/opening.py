"""Opening a source of any kind; the one way in. Each kind is loaded on first use."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from everloop.data.connectors.errors import EmptySourceError, UnsupportedSourceError
from everloop.data.connectors.options import call
from everloop.data.connectors.protocol import collect, naming_the_source

if TYPE_CHECKING:
    from collections.abc import Callable

    import pyarrow as pa

    from everloop.data.connectors.protocol import SourceStream

_HTTP = ("http://", "https://")


def open_source(source: object, **options: Any) -> SourceStream:  # noqa: ANN401 - each kind has its own options
    """Open a source for reading in pieces; nothing is held in memory but the piece at hand.

    Args:
        source: a path, a folder, a pattern (`folder/*.csv`), a URL (`s3://`, `gs://`, `az://`, `file://`,
            `memory://`, `http://`, `https://`), a result of `sql_query`, an Arrow, pandas, Polars, DuckDB, dlt or
            Hugging Face object, an iterator or list of batches, a list of records, a dict of columns.
        **options: of its kind: `format`, `encoding`, `separator`, `columns`, `sheet` of files; `store_options`,
            `store` of buckets; `size_limit_bytes`, `timeout_s`, `headers` of HTTP; `schema` of iterators;
            `resource` of dlt.

    Raises:
        SourceNotFoundError, EmptySourceError, RaggedRowError, UnreadableSourceError, UnsupportedSourceError,
        UnknownOptionError, DuplicateColumnError, UnnamedColumnError, SchemaDiffersError: as named.
    """
    if _is_open(source):
        return source  # type: ignore[return-value]  # it is a SourceStream already
    name = describe(source)
    with naming_the_source(name):
        stream: SourceStream = call(_opener(source), source, options, name=name)
        _refuse_no_columns(stream)
    return stream


def to_arrow(source: object, **options: Any) -> pa.Table:  # noqa: ANN401 - as above
    """Return the rows of any source in the normal form; see `contents.normalise`.

    A missing value of pandas (NaN, NaT, None, NA) is missing here too; a NaN of Arrow, Parquet, Polars and
    DuckDB stays a NaN.

    Raises:
        See `open_source`.
    """
    stream = open_source(source, **options)
    with naming_the_source(stream.description):
        return collect(stream)


def refuse_empty(rows: int, source: object) -> None:
    """Refuse a source without rows.

    Raises:
        EmptySourceError: with the name of the source.
    """
    if rows == 0:
        raise EmptySourceError(
            f"{describe(source)} has no rows, so there is nothing to add. Check the export that wrote it.",
            subject=describe(source),
        )


def describe(source: object) -> str:
    """Return the name of a source for messages, without the secrets a URL may hold."""
    if isinstance(source, str) and source.startswith(_HTTP):
        from everloop.data.connectors.http import shown_url

        return shown_url(source)
    if isinstance(source, str | Path):
        return str(source)
    return str(source.description) if _is_open(source) else f"the {type(source).__name__}"  # type: ignore[attr-defined]


def _is_open(source: object) -> bool:
    # Asked of the class: on the object a property would be computed, and digesting a file costs a reading.
    return all(hasattr(type(source), name) for name in ("batches", "source_digest"))


def _opener(source: object) -> Callable[..., SourceStream]:
    if isinstance(source, str | Path):
        return _text_opener(str(source))
    from everloop.data.connectors.libraries import find_opener

    opener = find_opener(source)
    if opener is not None:
        return opener
    if isinstance(source, Mapping):
        return _open_columns
    if isinstance(source, Iterable) and not isinstance(source, bytes):
        return _open_items
    raise UnsupportedSourceError(
        f"{describe(source)} cannot be added. Give a path, a URL, an Arrow table, a pandas or Polars frame, a DuckDB relation, "
        "an iterator of batches, a list of records or a dict of columns.",
    )


def _text_opener(source: str) -> Callable[..., SourceStream]:
    from everloop.data.connectors import places

    if source.startswith(_HTTP):
        return places.open_http
    return places.open_url if "://" in source else places.open_path


def _open_columns(source: Mapping[Any, Any]) -> SourceStream:
    from everloop.data.connectors.libraries.arrow_stream import open_object
    from everloop.data.connectors.values import columns_to_table

    return open_object(columns_to_table(source), description=describe(source))


def _open_items(source: Iterable[Any], *, schema: pa.Schema | None = None) -> SourceStream:
    from everloop.data.connectors.iterators import open_iterable
    from everloop.data.connectors.libraries.arrow_stream import open_object
    from everloop.data.connectors.values import records_to_table

    if schema is None and isinstance(source, list) and all(isinstance(item, Mapping) for item in source):
        return open_object(records_to_table(source), description=describe(source))
    return open_iterable(source, schema=schema)


def _refuse_no_columns(stream: SourceStream) -> None:
    if not stream.schema.names:
        raise EmptySourceError(f"{stream.description} has no columns, so there is nothing to add.")
