"""Which paths a tree may hold: none that leaves its folder, none that other programs act upon.

The same rule holds when a folder is stored and when a tree is written, so that what was stored can be checked out, and a
tree made by somebody else cannot plant a git hook or overwrite a file elsewhere. Tests: tests/unit/data/files/test_trees.py,
tests/property/test_trees.py.
"""

from __future__ import annotations

import re
from collections import defaultdict
from typing import TYPE_CHECKING

from everloop.core.errors import InvalidInputError

if TYPE_CHECKING:
    from collections.abc import Iterable

NEVER = frozenset({".git", ".everloop", ".dvc"})
"""Folders that are never part of a tree."""
SUSPECT = frozenset(".gG")
"""What a reserved name of ASCII characters begins with."""
STAGING = ".everloop-checkout-"
"""Prefix of the folders in which files are written before they get their name."""

_DRIVE = re.compile(r"[A-Za-z]:")
# Windows: characters that names cannot have, devices, and endings that it drops.
_NOT_ON_WINDOWS = re.compile(
    r'[<>:"|?*\\\x00-\x1f]|(?:^|/)(?:con|prn|aux|nul|com[0-9¹²³]|lpt[0-9¹²³])(?:\.[^/]*)?(?:/|$)|[. ](?:/|$)',
    re.IGNORECASE,
)
# HFS+ passes over these in names, so that `.g<U+200C>it` is `.git` there (CVE-2014-9390).
_PASSED_OVER = dict.fromkeys([*range(0x200C, 0x2010), *range(0x202A, 0x202F), *range(0x206A, 0x2070), 0xFEFF])


class UnsafePathError(InvalidInputError):
    """A path of a tree leaves its folder, or names what no tree may write."""

    code = "files.unsafe-path"


class NotPortableError(InvalidInputError):
    """A name cannot exist on other systems, or two names are one there."""

    code = "files.not-portable"


def refuse_unsafe(paths: Iterable[str], *, on_windows: bool) -> None:
    """Refuse paths that leave the folder or name what no tree may write.

    Raises:
        UnsafePathError: with the path.
    """
    safe_folders = {""}
    for path in paths:
        folder, _, name = path.rpartition("/")
        is_checked = folder in safe_folders
        why = fault(name if is_checked and folder else path)
        if not why and on_windows and _NOT_ON_WINDOWS.search(path):
            why = "is no name on Windows"
        if why:
            raise UnsafePathError(
                f"the path {path!r} {why}, so nothing was written there. Rename or remove it where the version was made, "
                "or choose other paths.",
                subject=path,
            )
        safe_folders.add(folder)


def fault(path: str) -> str:
    """Return why a path cannot be part of a tree, or nothing."""
    if not path or path.startswith("/") or _DRIVE.match(path):
        return "is not relative to the folder"
    if "\0" in path:
        return "holds a zero byte"
    parts = path.split("/")
    if not {"", ".", ".."}.isdisjoint(parts):
        return "has a part that is empty, '.' or '..'"
    if any(map(is_reserved, parts)):
        return "names a folder that other programs act upon"
    return ""


def is_reserved(name: str) -> bool:
    """Return whether a file or folder of this name is never part of a tree."""
    if name.isascii() and name[:1] not in SUSPECT:
        return False
    plain = name.translate(_PASSED_OVER).casefold().rstrip(". ")
    return plain in NEVER or plain == "git~1" or plain.startswith(STAGING)


def refuse_not_portable(paths: Iterable[str]) -> None:
    """Refuse names that Windows cannot hold, and names that differ only by case.

    Raises:
        NotPortableError: with the paths.
    """
    spellings: defaultdict[str, set[str]] = defaultdict(set)
    for path in paths:
        if _NOT_ON_WINDOWS.search(path):
            raise NotPortableError(
                f"{path!r} is no name on Windows. Rename it, or add the folder without asking for portable names.",
                subject=path,
            )
        parts = path.split("/")
        for depth in range(1, len(parts) + 1):
            spelling = "/".join(parts[:depth])
            spellings[spelling.casefold()].add(spelling)
    for same in spellings.values():
        if len(same) > 1:
            first, second = sorted(same)[:2]
            raise NotPortableError(
                f"{first!r} and {second!r} differ only by case and are one file on Windows and macOS. Rename one, "
                "or add the folder without asking for portable names.",
                subject=first,
            )
