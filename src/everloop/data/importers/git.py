"""Reading a git repository through the program `git`: its tags, branches, and files of a commit.

Nothing is written and no hook runs.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Literal, NamedTuple

from everloop.core.errors import MissingExtraError
from everloop.data.importers.errors import NoRepositoryError, UnreadableHistoryError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

Refs = Literal["tags", "branches"]
_PLACES = {"tags": "refs/tags", "branches": "refs/heads"}
_FORMAT = (
    "%00".join(
        f"%({field})"
        for field in (
            "refname:strip=2",
            "creatordate:unix",
            "taggername",
            "authorname",
            "contents:subject",
            "contents:body",
        )
    )
    + "%00%01"
)


class Ref(NamedTuple):
    """A tag or branch, and the commit that it names."""

    name: str
    commit: str
    time: datetime
    author: str
    message: str


class Repository:
    """A git repository, seen from one of its folders; files outside of that folder are not seen.

    Raises:
        NoRepositoryError: the folder is in no repository that we may read.
        MissingExtraError: git is not installed.
    """

    def __init__(self, folder: Path) -> None:
        program = shutil.which("git")
        if program is None:
            raise MissingExtraError("the history is read with git, which is not installed. Install git.")
        self._command = [program, "-C", str(folder)]
        self._folder = folder
        if not folder.is_dir() or self._try("rev-parse", "--git-dir") is None:
            raise NoRepositoryError(
                f"{folder} is in no git repository that we may read. Check the path, and whose folder it is.",
                subject=str(folder),
            )

    def refs(self, kind: Refs) -> list[Ref]:
        """Return the tags or branches that name commits, oldest first."""
        listed = self._run(
            "for-each-ref", "--sort=creatordate", f"--format={_FORMAT}", _PLACES[kind]
        ).decode()
        found = []
        for row in listed.split("\0\1\n"):
            if not row:
                continue
            name, time, tagger, author, subject, body = row.split("\0")
            commit = self._try("rev-parse", "--verify", "--quiet", f"{_PLACES[kind]}/{name}^{{commit}}")
            # A tag of a file or a folder has no commit and is no version.
            if commit is not None:
                moment = datetime.fromtimestamp(int(time), UTC)
                message = f"{subject}\n\n{body}".strip()
                found.append(Ref(name, commit.decode().strip(), moment, tagger or author, message))
        return found

    def files(self, commit: str, wanted: Callable[[str], bool]) -> tuple[set[str], dict[str, bytes]]:
        """Return the paths of a commit, and the content of those that are wanted."""
        listed = self._run("ls-tree", "-r", "-z", commit).decode()
        ids = {}
        for entry in listed.split("\0")[:-1]:
            head, _, path = entry.partition("\t")
            ids[path] = head.split(" ")[2]
        chosen = [path for path in ids if wanted(path)]
        return set(ids), dict(zip(chosen, self._blobs([ids[path] for path in chosen]), strict=True))

    def _blobs(self, ids: Sequence[str]) -> list[bytes]:
        if not ids:
            return []
        output = self._run("cat-file", "--batch", given="\n".join(ids).encode() + b"\n")
        found, start = [], 0
        for _ in ids:
            # "<id> blob <size>\n<content>\n"
            end = output.index(b"\n", start)
            size = int(output[start:end].split(b" ")[2])
            found.append(output[end + 1 : end + 1 + size])
            start = end + 1 + size + 1
        return found

    def _run(self, *arguments: str, given: bytes = b"") -> bytes:
        done = self._start(arguments, given)
        if done.returncode:
            raise UnreadableHistoryError(
                f"git cannot read {self._folder}: {done.stderr.decode(errors='replace').strip()}. Run `git fsck` there.",
                subject=str(self._folder),
            )
        return done.stdout

    def _try(self, *arguments: str) -> bytes | None:
        done = self._start(arguments, b"")
        return None if done.returncode else done.stdout

    def _start(self, arguments: Sequence[str], given: bytes) -> subprocess.CompletedProcess[bytes]:
        environment = {name: text for name, text in os.environ.items() if not name.startswith("GIT_")}
        environment |= {"GIT_OPTIONAL_LOCKS": "0", "GIT_TERMINAL_PROMPT": "0", "LC_ALL": "C"}
        return subprocess.run(  # noqa: S603 - the program is git, the arguments are ours
            [*self._command, *arguments], input=given, capture_output=True, check=False, env=environment
        )
