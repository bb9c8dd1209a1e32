"""Which files a folder, a glob or a prefix of a bucket holds, sorted by path.

Files and folders whose names begin with `.` or `_` are passed over, as other systems do with their marks
(`_SUCCESS`, `.crc`). Links are followed.
"""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import TYPE_CHECKING

from everloop.data.connectors.errors import EmptySourceError, SourceLoopError, UnsupportedSourceError
from everloop.data.connectors.files import LocalFile
from everloop.data.connectors.folder import Member
from everloop.data.connectors.remote import RemoteFile

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from everloop.data.connectors.remote import RemotePlace

_MAGIC = re.compile(r"[*?\[]")
_TOKEN = re.compile(r"\*\*/|\*\*|\*|\?|\[[^\]]+\]|.", re.DOTALL)
_MEANING = {"**/": "(?:.*/)?", "**": ".*", "*": "[^/]*", "?": "[^/]"}


def is_pattern(text: str) -> bool:
    """Return whether a path or URL has the characters of a pattern: `*`, `?`, `[`."""
    return _MAGIC.search(text) is not None


def local_members(folder: Path) -> list[Member]:
    """Return the files of a folder.

    Raises:
        EmptySourceError: there are none.
        SourceLoopError: a link leads to a folder above it.
        UnsupportedSourceError: it is a Delta table, whose files are not all of its current version.
    """
    if (folder / "_delta_log").is_dir():
        raise _is_delta(str(folder))
    return _refuse_none(
        [_local(folder, path) for path in sorted(_walk(folder, "", frozenset()))], str(folder)
    )


def matching_members(pattern: str) -> list[Member]:
    """Return the files that a pattern names; of a folder that it names all files."""
    base, rest = split_pattern(pattern)
    folder, matches = Path(base or "."), _compiled(rest)
    paths = _walk(folder, "", frozenset()) if folder.is_dir() else ()
    return _refuse_none([_local(folder, path) for path in sorted(paths) if matches.fullmatch(path)], pattern)


def remote_members(place: RemotePlace, key: str, root: str) -> list[Member]:
    """Return the objects below a prefix, or those that a pattern names."""
    base, rest = split_pattern(key) if is_pattern(key) else (key.rstrip("/"), "**")
    matches = _compiled(rest)
    start = f"{base}/" if base else ""
    found = []
    for stored in place.list(base):
        if not stored.name.startswith(start):
            continue
        path = stored.name.removeprefix(start)
        if path.startswith("_delta_log/"):
            raise _is_delta(f"{root}/{key}")
        if matches.fullmatch(path) and not any(_is_hidden(part) for part in path.split("/")):
            found.append(_remote(place, stored.name, path, root, stored.size))
    return _refuse_none(sorted(found, key=lambda member: member.path), f"{root}/{key}")


def split_pattern(pattern: str) -> tuple[str, str]:
    """Return the folder before the first part with a pattern, and the rest."""
    parts = pattern.split("/")
    count = next(number for number, part in enumerate(parts) if is_pattern(part))
    return "/".join(parts[:count]) or ("/" if count else ""), "/".join(parts[count:])


def _compiled(pattern: str) -> re.Pattern[str]:
    def meaning(token: str) -> str:
        if token in _MEANING:
            return _MEANING[token]
        if len(token) > 1:
            return "[^" + token[2:] if token[1] == "!" else token
        return re.escape(token)

    # What follows a match is below a folder that the pattern names.
    return re.compile("".join(map(meaning, _TOKEN.findall(pattern.rstrip("/")))) + r"(?:/.*)?")


def _walk(folder: Path, prefix: str, above: frozenset[str]) -> Iterator[str]:
    real = os.path.realpath(folder)
    if real in above:
        raise SourceLoopError(
            f"{folder} is a link to a folder above it, so its files never end. Remove the link.",
            subject=str(folder),
        )
    with os.scandir(folder) as entries:
        kept = [entry for entry in entries if not _is_hidden(entry.name)]
    for entry in kept:
        if entry.is_dir():
            yield from _walk(Path(entry.path), f"{prefix}{entry.name}/", above | {real})
        else:
            yield prefix + entry.name


def _is_hidden(name: str) -> bool:
    return name.startswith((".", "_")) and "=" not in name


def _local(folder: Path, path: str) -> Member:
    return Member(path, lambda: LocalFile(folder / path))


def _remote(place: RemotePlace, key: str, path: str, root: str, size: int) -> Member:
    return Member(path, lambda: RemoteFile(place, key, name=f"{root}/{key}", size_bytes=size))


def _refuse_none(members: Sequence[Member], place: str) -> list[Member]:
    if not members:
        raise EmptySourceError(
            f"{place} holds no files (names that begin with . or _ are passed over). Check the path.",
            subject=place,
        )
    return list(members)


def _is_delta(place: str) -> UnsupportedSourceError:
    return UnsupportedSourceError(
        f"{place} is a Delta table: some of its files belong to old versions. "
        "Open it with everloop.data.importers.delta.open_delta.",
        subject=place,
    )
