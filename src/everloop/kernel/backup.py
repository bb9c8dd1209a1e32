"""Back up a whole home into one file, and restore it into an empty one, on either database and any object store.

The file is a zip: `catalog.zip` (see catalog/dump.py), `objects/<digest>`, and `files/` with what else the home holds:
prediction logs not yet converted, keys, the simulated clock. It holds secrets, so only its owner may read it.
Tests: tests/integration/test_backup.py.
"""

from __future__ import annotations

import shutil
import tempfile
import zipfile
import zlib
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec
import sqlalchemy as sa

from everloop.core.digests import Digest, parse_digest
from everloop.core.errors import InvalidInputError
from everloop.kernel.catalog.dump import UnreadableDumpError, dump_tables, load_tables, refuse_filled
from everloop.kernel.objects.tables import stored

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator

    from everloop.kernel.operations import Kernel

# Rebuilt, or written by the database itself.
_LEFT_OUT = ("catalog.db", "catalog.db-wal", "catalog.db-shm", "objects", "cache", "backups")


class BackupReport(msgspec.Struct, frozen=True, kw_only=True):
    """What a backup holds, or what was restored."""

    file: str
    rows: int
    objects: int
    object_bytes: int


class NotAHomeError(InvalidInputError):
    """A client was asked to back up or restore."""

    code = "backup.not-a-home"


class BackupTargetError(InvalidInputError):
    """The file of a backup cannot be written."""

    code = "backup.target"


def _refuse_client(kernel: Kernel) -> None:
    if kernel.is_remote:
        raise NotAHomeError(
            "a home is backed up and restored where it is. Run the command there, without --url."
        )


def back_up(kernel: Kernel, target: Path) -> BackupReport:
    """Write the home to `target`, which appears whole or not at all.

    Raises:
        NotAHomeError: the kernel is a client's.
        BackupTargetError: `target` cannot be written.
    """
    _refuse_client(kernel)
    kernel.events.seal()
    partial = target.with_suffix(".partial")
    try:
        partial.touch(mode=0o600)
    except OSError as error:
        raise BackupTargetError(
            f"{target} cannot be written: {error.strerror}. Name a file in a folder that is there.",
            subject=str(target),
        ) from error
    try:
        with tempfile.TemporaryDirectory(dir=target.parent) as folder, kernel.catalog.read() as connection:
            if kernel.catalog.dialect == "postgresql":
                # All tables as of one moment; SQLite's reads are so by themselves.
                connection.execution_options(isolation_level="REPEATABLE READ")
            header = dump_tables(connection, Path(folder) / "catalog.zip")
            digests = [Digest(row) for row in connection.execute(sa.select(stored.c.digest)).scalars()]
            with zipfile.ZipFile(partial, "w", zipfile.ZIP_STORED) as archive:
                archive.write(Path(folder) / "catalog.zip", "catalog.zip")
                size = sum(_add_object(archive, kernel, digest) for digest in digests)
                for file in _files(kernel.home, without={target, partial, Path(folder)}):
                    with suppress(FileNotFoundError):  # a log that was converted in the meantime
                        archive.write(file, f"files/{file.relative_to(kernel.home)}")
        partial.replace(target)
    finally:
        partial.unlink(missing_ok=True)
    return BackupReport(
        file=str(target), rows=sum(header.rows.values()), objects=len(digests), object_bytes=size
    )


def restore(kernel: Kernel, source: Path) -> BackupReport:
    """Fill an empty home from a backup.

    Raises:
        UnreadableDumpError: the file is no backup, or of another schema.
        NotEmptyError: the home holds rows.
        NotAHomeError: the kernel is a client's.
    """
    _refuse_client(kernel)
    try:
        with zipfile.ZipFile(source) as archive:
            return _restore(kernel, archive, source)
    except (OSError, zipfile.BadZipFile, zlib.error) as error:
        raise UnreadableDumpError(
            f"{source} is not a backup, or damaged: {error}. Choose another file made by `everloop backup`."
        ) from error


def _restore(kernel: Kernel, archive: zipfile.ZipFile, source: Path) -> BackupReport:
    names = archive.namelist()
    if "catalog.zip" not in names:
        raise UnreadableDumpError(f"{source} holds no catalog. Choose a file made by `everloop backup`.")
    for name in names:
        _target(archive, name, kernel.home)
    with kernel.catalog.read() as connection:
        refuse_filled(connection, except_for={stored.name})
    with tempfile.TemporaryDirectory(dir=kernel.home) as folder:
        # Objects that nothing refers to do no harm, so they come first: a damaged file then leaves an empty home.
        objects = [name for name in names if name.startswith("objects/")]
        size = sum(_restore_object(archive, kernel, name, Path(folder)) for name in objects)
        for name in names:
            if name.startswith("files/"):
                _restore_file(archive, name, kernel.home)
        with kernel.catalog.transaction(durable=True) as connection:
            header = load_tables(
                connection, Path(archive.extract("catalog.zip", folder)), leave_out={stored.name}
            )
    return BackupReport(
        file=str(source), rows=sum(header.rows.values()), objects=len(objects), object_bytes=size
    )


def _add_object(archive: zipfile.ZipFile, kernel: Kernel, digest: Digest) -> int:
    archive.write(kernel.objects.path(digest), f"objects/{digest}")
    return kernel.objects.size(digest)


def _restore_object(archive: zipfile.ZipFile, kernel: Kernel, name: str, folder: Path) -> int:
    wanted = parse_digest(name.removeprefix("objects/"))
    extracted = folder / "object"
    with archive.open(name) as packed, extracted.open("wb") as file:
        shutil.copyfileobj(packed, file, 1 << 20)
    found = kernel.objects.put(extracted)
    if found != wanted:
        raise UnreadableDumpError(
            f"{archive.filename} is damaged: {name} hashes to {found}. Use another backup."
        )
    return extracted.stat().st_size


def _target(archive: zipfile.ZipFile, name: str, home: Path) -> Path:
    target = (home / name.removeprefix("files/")).resolve()
    if not target.is_relative_to(home.resolve()):
        raise UnreadableDumpError(f"{archive.filename} names a file outside the home: {name}. Do not use it.")
    return target


def _restore_file(archive: zipfile.ZipFile, name: str, home: Path) -> None:
    target = _target(archive, name, home)
    target.parent.mkdir(parents=True, exist_ok=True)
    target.touch(mode=0o600)
    target.write_bytes(archive.read(name))


def _files(home: Path, *, without: Collection[Path]) -> Iterator[Path]:
    for entry in sorted(home.iterdir()):
        if entry.name in _LEFT_OUT or entry in without:
            continue
        found = sorted(entry.rglob("*")) if entry.is_dir() else [entry]
        yield from (file for file in found if file.is_file())
