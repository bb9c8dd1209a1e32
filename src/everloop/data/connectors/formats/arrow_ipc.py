"""Arrow IPC files (also called Feather 2) and streams. Tests: tests/unit/data/connectors/formats/test_arrow_ipc.py."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.ipc

from everloop.data.connectors.errors import UnreadableSourceError
from everloop.data.connectors.files import refuse_compressed, refuse_no_bytes
from everloop.data.connectors.protocol import PlainStream

if TYPE_CHECKING:
    from collections.abc import Iterator

    from everloop.data.connectors.files import SourceFile

_FILE_MAGIC = b"ARROW1"


def open_arrow(file: SourceFile) -> PlainStream:
    """Open an Arrow file or stream; its own first bytes say which."""
    refuse_no_bytes(file)
    refuse_compressed(file)
    with _naming(file), file.open() as stream:
        is_file = stream.read(len(_FILE_MAGIC)) == _FILE_MAGIC
        stream.seek(0)
        opened = pa.ipc.open_file(stream) if is_file else pa.ipc.open_stream(stream)
        schema = opened.schema

    def read() -> Iterator[pa.Table]:
        with _naming(file), file.open() as stream:
            for batch in _file_batches(stream) if is_file else pa.ipc.open_stream(stream):
                yield pa.Table.from_batches([batch])

    return PlainStream(file.name, schema, read, digest=file.digest)


def _file_batches(stream: pa.NativeFile) -> Iterator[pa.RecordBatch]:
    with pa.ipc.open_file(stream) as opened:
        for index in range(opened.num_record_batches):
            yield opened.get_batch(index)


@contextmanager
def _naming(file: SourceFile) -> Iterator[None]:
    try:
        yield
    except (pa.ArrowInvalid, OSError) as error:
        raise UnreadableSourceError(
            f"{file.name} is not a whole Arrow file: {error}. Write it again, or fetch it again.",
            subject=file.name,
        ) from error
