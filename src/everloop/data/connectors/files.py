"""The bytes of a file to read, wherever it lies: a local file here, an object of a bucket in `remote`."""

from __future__ import annotations

from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Literal, NamedTuple, Protocol

import pyarrow as pa

from everloop.core.digests import digest_file
from everloop.data.connectors.errors import (
    EmptySourceError,
    SourceNotFoundError,
    UnknownOptionError,
    UnreadableSourceError,
    UnsupportedSourceError,
    WrongEncodingError,
)

if TYPE_CHECKING:
    from collections.abc import Iterator
    from contextlib import AbstractContextManager

Compression = Literal["", "gzip", "zstd", "bz2"]
_COMPRESSIONS: dict[str, Compression] = {".gz": "gzip", ".zst": "zstd", ".bz2": "bz2"}
# What a compressed file of a bucket is read in at once; each read is one request.
_READ_AHEAD_BYTES = 4 << 20


class SourceFile(Protocol):
    """A file that can be read any number of times. `name` is its path or URL, for messages."""

    name: str

    @property
    def size_bytes(self) -> int:
        """Return its size."""
        ...

    def open(self) -> pa.NativeFile:
        """Open its bytes for reading anywhere in it."""
        ...

    def local(self) -> AbstractContextManager[Path]:
        """Give a local file with its bytes, for libraries that read paths only."""
        ...

    def digest(self) -> str:
        """Return the digest of its bytes."""
        ...


class LocalFile:
    """A file of this machine; see `SourceFile`.

    Args:
        path: of the file.
        name: shown in messages; the path when not given.
        owner: kept while the file is in use, for example a folder that goes with it.
    """

    def __init__(self, path: Path, *, name: str = "", owner: object = None) -> None:
        self.path = path
        self.name = name or str(path)
        self._owner = owner
        if not path.is_file():
            raise SourceNotFoundError(f"there is no file {self.name}. Check the path.", subject=self.name)

    @property
    def size_bytes(self) -> int:
        """Return its size."""
        return self.path.stat().st_size

    def open(self) -> pa.NativeFile:
        """Open its bytes."""
        try:
            return pa.OSFile(str(self.path), "rb")
        except OSError as error:
            raise UnreadableSourceError(
                f"{self.name} cannot be opened: {error.strerror or error}. Check its permissions.",
                subject=self.name,
            ) from error

    @contextmanager
    def local(self) -> Iterator[Path]:
        """Give the file itself."""
        yield self.path

    def digest(self) -> str:
        """Return the digest of its bytes."""
        return digest_file(self.path)


class FileName(NamedTuple):
    """What a name says of its content: `rows.csv.gz` is `csv` and `gzip`."""

    format: str
    compression: Compression


def parse_name(name: str) -> FileName:
    """Return the last suffix, and the compression when there is one behind it."""
    path = Path(name)
    compression = _COMPRESSIONS.get(path.suffix.lower(), "")
    suffix = path.with_suffix("").suffix if compression else path.suffix
    return FileName(suffix.lower().removeprefix("."), compression)


def refuse_no_bytes(file: SourceFile) -> None:
    """Refuse a file of 0 bytes."""
    if file.size_bytes == 0:
        raise EmptySourceError(
            f"{file.name} is empty (0 bytes). Check the export that wrote it.", subject=file.name
        )


def refuse_compressed(file: SourceFile) -> None:
    """Refuse a compressed file of a format that has its own compression."""
    found = parse_name(file.name)
    if found.compression:
        raise UnsupportedSourceError(
            f"{file.name}: a {found.format or 'file of this kind'} is read uncompressed. Unpack it first.",
            subject=file.name,
        )


def open_text(file: SourceFile, encoding: str) -> pa.NativeFile:
    """Open a text file, maybe compressed, as a stream of UTF-8.

    Raises:
        UnknownOptionError: there is no such encoding.
    """
    compression = parse_name(file.name).compression
    stream = file.open()
    if compression:
        stream = pa.CompressedInputStream(pa.BufferedInputStream(stream, _READ_AHEAD_BYTES), compression)
    if encoding.lower().replace("_", "-") in {"utf-8", "utf8"}:
        return stream
    try:
        return pa.transcoding_input_stream(stream, encoding, "utf-8")
    except LookupError as error:
        raise UnknownOptionError(
            f"{file.name}: there is no encoding {encoding!r}. Name one that Python knows, for example latin-1, cp1252 or utf-16.",
            subject=file.name,
        ) from error


@contextmanager
def reading(file: SourceFile) -> Iterator[None]:
    """Turn what goes wrong while bytes are read or unpacked into an error of ours."""
    try:
        yield
    except UnicodeDecodeError as error:
        raise wrong_encoding(file, error.encoding) from error
    except OSError as error:
        raise UnreadableSourceError(
            f"{file.name} is cut off or damaged: {error}. Write it again, or fetch it again.",
            subject=file.name,
        ) from error


def wrong_encoding(file: SourceFile, encoding: str, *, line: int = 0) -> WrongEncodingError:
    """Return the error of text that is not in the encoding it was read with."""
    place = f", line {line}," if line else ""
    shown = "UTF-8" if encoding.lower() in {"utf-8", "utf8"} else encoding
    return WrongEncodingError(
        f'{file.name}{place} is not {shown} text. Name its encoding, for example encoding="latin-1" '
        '(also "cp1252", "utf-16"), or save it as UTF-8.',
        subject=file.name,
        details={"line": line} if line else None,
    )
