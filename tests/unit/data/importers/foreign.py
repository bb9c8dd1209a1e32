"""A DVC repository and a Delta table, written by hand in their documented forms."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.parquet as pq

if TYPE_CHECKING:
    from pathlib import Path

AUTHOR = {
    "GIT_AUTHOR_NAME": "Ada",
    "GIT_AUTHOR_EMAIL": "a@b",
    "GIT_COMMITTER_NAME": "Ada",
    "GIT_COMMITTER_EMAIL": "a@b",
}


class Project:
    """A repository with DVC's files, written by hand in its documented form."""

    def __init__(self, root: Path) -> None:
        self.root = root
        (root / ".dvc").mkdir(parents=True)
        (root / ".dvc" / "config").write_text("[core]\n")
        self._second = 0
        self.git("init", "-q", "-b", "main")

    def git(self, *words: str) -> None:
        subprocess.run(
            ["git", *words],  # noqa: S607 - git of the machine
            cwd=self.root,
            check=True,
            env={**os.environ, **AUTHOR, "GIT_COMMITTER_DATE": f"{1_600_000_000 + self._second} +0000"},
            capture_output=True,
        )

    def cached(self, content: bytes, suffix: str = "") -> str:
        md5 = hashlib.md5(content, usedforsecurity=False).hexdigest() + suffix
        place = self.root / ".dvc" / "cache" / "files" / "md5" / md5[:2] / md5[2:]
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(content)
        return md5

    def tag(self, name: str, files: dict[str, str]) -> None:
        self._second += 1
        for path, text in files.items():
            (self.root / path).write_text(text)
        self.git("add", "-A", ":!.dvc/cache")
        self.git("commit", "-q", "-m", f"data of {name}")
        self.git("tag", "-a", name, "-m", f"tagged {name}")


def out(md5: str, path: str) -> str:
    return f"outs:\n- md5: {md5}\n  hash: md5\n  path: {path}\n"


FIELDS = [
    {"name": "a", "type": "long", "nullable": True, "metadata": {}},
    {"name": "day", "type": "date", "nullable": True, "metadata": {}},
]


def commit(root: Path, number: int, *actions: dict[str, Any]) -> None:
    log = root / "_delta_log"
    log.mkdir(exist_ok=True)
    lines = [{"commitInfo": {"timestamp": 1_356_998_400_000 + number, "operation": "WRITE"}}, *actions]
    (log / f"{number:020}.json").write_text("\n".join(map(json.dumps, lines)))


def add(root: Path, name: str, values: list[int], day: str | None) -> dict[str, Any]:
    pq.write_table(pa.table({"a": values}), root / name)
    size = (root / name).stat().st_size
    return {
        "add": {
            "path": name,
            "partitionValues": {"day": day},
            "size": size,
            "modificationTime": 0,
            "dataChange": True,
        }
    }
