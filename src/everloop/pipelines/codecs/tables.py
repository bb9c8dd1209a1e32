"""Codecs of tables, frames and arrays, in formats that other programs read; libraries load on first use.

Tests: tests/unit/pipelines/test_artifacts.py, tests/property/test_artifacts.py.
"""

from __future__ import annotations

import importlib
import io
import sys
from typing import TYPE_CHECKING, Any

import msgspec

from everloop.core.digests import Digest, canonical_json
from everloop.pipelines.codecs.protocol import INLINE_BYTES
from everloop.pipelines.records import Artifact

if TYPE_CHECKING:
    from collections.abc import Iterator

    from everloop.pipelines.codecs.protocol import Store

_REFERENCE = "reference.json"
# Arrays above this go to the store in pieces; below it one buffer costs less than a staged file.
_STREAMED = 1 << 20
_PIECE = 8 << 20


class TableCodec:
    """`everloop.Table`: stored as its parts; the digest is that of the rows in order, whatever the version's name."""

    name = "table"

    def takes(self, value: object) -> bool:
        """Take tables."""
        kind = type(value)
        return kind.__name__ == "Table" and kind.__module__.startswith("everloop.data")

    def dump(self, value: Any, store: Store) -> Artifact:  # noqa: ANN401 - a table
        """Store the parts that are not stored yet, and the reference to them."""
        reference = value.store(store.objects).reference
        text = canonical_json(reference)
        objects = {f"part-{index}.parquet": Digest(part.digest) for index, part in enumerate(reference.parts)}
        objects |= {
            f"part-{index}.deletions": Digest(part.deletions)
            for index, part in enumerate(reference.parts)
            if part.deletions
        }
        inline = text.decode() if len(text) <= INLINE_BYTES else None
        if inline is None:
            objects[_REFERENCE] = store.put(text)
        facts = {"name": reference.name, "content": reference.digest} if reference.name else {}
        # What a step makes of a table may depend on the order of its rows, so the order keys it.
        return Artifact(
            codec=self.name, digest=Digest(reference.order), objects=objects, inline=inline, facts=facts
        )

    def load(self, artifact: Artifact, store: Store) -> object:
        """Return the table; its rows are read when they are asked for."""
        from everloop.data.records import TableReference
        from everloop.data.table import Table

        text = (
            artifact.inline.encode()
            if artifact.inline is not None
            else store.objects.get(artifact.objects[_REFERENCE])
        )
        return Table.open(msgspec.json.decode(text, type=TableReference), store.objects)


class NumpyCodec:
    """NumPy arrays as npy, read back by memory map."""

    name = "numpy"

    def takes(self, value: object) -> bool:
        """Take arrays without Python objects in them."""
        numpy = sys.modules.get("numpy")
        return numpy is not None and isinstance(value, numpy.ndarray) and not value.dtype.hasobject

    def dump(self, value: Any, store: Store) -> Artifact:  # noqa: ANN401 - an array
        """Write npy; a large array goes from its own memory to the file, hashed on the way."""
        content = _npy(value) if value.nbytes <= _STREAMED else npy_pieces(value)
        digest = store.put(content)
        return Artifact(codec=self.name, digest=digest, objects={"array.npy": digest})

    def load(self, artifact: Artifact, store: Store) -> object:
        """Map the file; pages are read when they are used."""
        import numpy as np

        path = store.objects.path(artifact.objects["array.npy"])
        return np.load(path, mmap_mode="r", allow_pickle=False)


def npy_pieces(value: Any) -> Iterator[bytes | memoryview]:  # noqa: ANN401 - an array
    """Yield buffers that make the file which `np.save` would write, byte for byte.

    They are views of the array's own memory where it lies in one piece, in either order, else copies of 8 MiB at a time.
    """
    import numpy as np

    head = io.BytesIO()
    try:
        facts = np.lib.format.header_data_from_array_1_0(value)
        np.lib.format.write_array_header_1_0(head, facts)
    except ValueError:  # names of fields that the first version of the format cannot hold
        yield _npy(value)
        return
    yield head.getvalue()
    if value.flags.c_contiguous or value.flags.f_contiguous:
        flat = np.asarray(value).reshape(-1, order="C" if value.flags.c_contiguous else "F").view(np.uint8)
        yield from (flat[at : at + _PIECE].data for at in range(0, len(flat), _PIECE))
        return
    count = max(1, _PIECE // value.dtype.itemsize)
    for chunk in np.nditer(value, ["external_loop", "buffered"], ["readonly"], buffersize=count, order="C"):
        yield np.asarray(chunk).tobytes()


def _npy(value: Any) -> bytes:  # noqa: ANN401 - an array
    import numpy as np

    buffer = io.BytesIO()
    np.save(buffer, value, allow_pickle=False)
    return buffer.getvalue()


class FrameCodec:
    """pandas and Polars frames and Arrow tables as Parquet."""

    name = "parquet"

    def takes(self, value: object) -> bool:
        """Take a frame of a library that is loaded already."""
        return _frame_kind(value) is not None

    def dump(self, value: Any, store: Store) -> Artifact:  # noqa: ANN401 - a frame
        """Write Parquet with the library's own type facts."""
        import pyarrow as pa
        import pyarrow.parquet as pq

        kind = _frame_kind(value)
        table = (
            value
            if kind == "arrow"
            else pa.Table.from_pandas(value)
            if kind == "pandas"
            else value.to_arrow()
        )
        sink = pa.BufferOutputStream()
        pq.write_table(table, sink, compression="zstd")
        digest = store.put(sink.getvalue().to_pybytes())
        return Artifact(
            codec=self.name, digest=digest, objects={"rows.parquet": digest}, facts={"kind": kind}
        )

    def load(self, artifact: Artifact, store: Store) -> object:
        """Read the frame in the library it came from."""
        import pyarrow.parquet as pq

        table = pq.read_table(store.objects.path(artifact.objects["rows.parquet"]), memory_map=True)
        match artifact.facts["kind"]:
            case "pandas":
                return table.to_pandas()
            case "polars":
                return importlib.import_module("polars").from_arrow(table)
            case _:
                return table


def _frame_kind(value: object) -> str | None:
    root = type(value).__module__.split(".")[0]
    names = {
        ("pyarrow", "Table"): "arrow",
        ("pandas", "DataFrame"): "pandas",
        ("polars", "DataFrame"): "polars",
    }
    return names.get((root, type(value).__name__))
