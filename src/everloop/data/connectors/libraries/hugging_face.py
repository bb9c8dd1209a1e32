"""Datasets of Hugging Face's library `datasets`, also streamed ones."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from everloop.data.connectors.conforming import ConformingStream
from everloop.data.connectors.errors import UnsupportedSourceError

if TYPE_CHECKING:
    from collections.abc import Iterator

    import pyarrow as pa

# Rows may hold images or long text.
_BATCH_ROWS = 4_096


def open_object(dataset: Any) -> ConformingStream:  # noqa: ANN401 - `datasets` is imported by whoever made it
    """Open a `Dataset` or `IterableDataset`; of a dictionary of splits name one."""
    kind = type(dataset).__name__
    if isinstance(dataset, dict):
        raise UnsupportedSourceError(
            f"a {kind} holds the splits {', '.join(dataset)}. Add one of them, for example dataset[{next(iter(dataset), 'train')!r}]."
        )
    if not hasattr(dataset, "with_format"):
        raise UnsupportedSourceError(
            f"a {kind} of datasets is no table. Give a Dataset or an IterableDataset."
        )
    features = dataset.features
    return ConformingStream(
        f"the Hugging Face {kind}",
        lambda: _read(dataset),
        is_repeatable=True,
        schema=None if features is None else features.arrow_schema.remove_metadata(),
        known_rows=getattr(dataset, "num_rows", None),
    )


def _read(dataset: Any) -> Iterator[pa.Table]:  # noqa: ANN401
    for table in dataset.with_format("arrow").iter(batch_size=_BATCH_ROWS):
        yield table.replace_schema_metadata(None)
