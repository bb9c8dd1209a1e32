"""Where a Delta table lies: a folder, or a prefix of a bucket."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from everloop.data.connectors.files import LocalFile
from everloop.data.connectors.remote import RemoteFile, local_path, open_place

if TYPE_CHECKING:
    from collections.abc import Mapping

    import pyarrow as pa

    from everloop.data.connectors.files import SourceFile
    from everloop.data.connectors.remote import RemotePlace

_LOG = "_delta_log"


class DeltaPlace(Protocol):
    """The files of one table, read only. `name` is its path or URL."""

    name: str

    def log_names(self) -> list[str]:
        """Return the names of the files directly in the log's folder."""
        ...

    def log_time(self, name: str) -> datetime:
        """Return when a file of the log was written."""
        ...

    def read_log(self, name: str) -> bytes:
        """Return the content of a file of the log."""
        ...

    def open_log(self, name: str) -> pa.NativeFile:
        """Open a file of the log."""
        ...

    def file(self, path: str) -> SourceFile:
        """Return a file of the table."""
        ...

    def location(self, path: str) -> str:
        """Return the path or URL of a file of the table."""
        ...


class LocalTable:
    """A table in a folder."""

    def __init__(self, folder: Path) -> None:
        self.name = str(folder)
        self._folder = folder

    def log_names(self) -> list[str]:
        """Return the names of the log."""
        log = self._folder / _LOG
        return [path.name for path in log.iterdir()] if log.is_dir() else []

    def log_time(self, name: str) -> datetime:
        """Return when a file of the log was written."""
        return datetime.fromtimestamp((self._folder / _LOG / name).stat().st_mtime, UTC)

    def read_log(self, name: str) -> bytes:
        """Return the content of a file of the log."""
        return (self._folder / _LOG / name).read_bytes()

    def open_log(self, name: str) -> pa.NativeFile:
        """Open a file of the log."""
        return LocalFile(self._folder / _LOG / name).open()

    def file(self, path: str) -> SourceFile:
        """Return a file of the table."""
        return LocalFile(self._folder / path)

    def location(self, path: str) -> str:
        """Return its path."""
        return str(self._folder / path)


class RemoteTable:
    """A table below a prefix of a bucket."""

    def __init__(self, place: RemotePlace, key: str, root: str) -> None:
        self._place = place
        self._key = key.rstrip("/")
        self._root = root
        self.name = f"{root}/{self._key}"
        log = f"{self._key}/{_LOG}/" if self._key else f"{_LOG}/"
        self._log = {file.name.removeprefix(log): file for file in place.list(log.rstrip("/"))}

    def log_names(self) -> list[str]:
        """Return the names of the log."""
        return [name for name in self._log if "/" not in name]

    def log_time(self, name: str) -> datetime:
        """Return when a file of the log was written."""
        return self._log[name].modified_at

    def read_log(self, name: str) -> bytes:
        """Return the content of a file of the log."""
        return self._place.read(self._log[name].name)

    def open_log(self, name: str) -> pa.NativeFile:
        """Open a file of the log."""
        return self.file(f"{_LOG}/{name}").open()

    def file(self, path: str) -> SourceFile:
        """Return a file of the table."""
        key = f"{self._key}/{path}" if self._key else path
        return RemoteFile(self._place, key, name=f"{self._root}/{key}")

    def location(self, path: str) -> str:
        """Return its URL."""
        return f"{self.name.rstrip('/')}/{path}"


def open_delta_place(
    table: str | Path,
    *,
    store_options: Mapping[str, str] | None = None,
    store: Any = None,  # noqa: ANN401 - a store of obstore
) -> DeltaPlace:
    """Return the place of a path or of a URL of any obstore scheme."""
    text = str(table)
    if text.startswith("file://"):
        return LocalTable(local_path(text))
    if "://" not in text:
        return LocalTable(Path(table))
    place, key, root = open_place(text, store_options=store_options, store=store)
    return RemoteTable(place, key, root)
