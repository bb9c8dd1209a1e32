"""Adding folders beside DVC and beside reading, hashing and writing the same bytes once, in the same run.

    python benchmarks/files.py [--dvc PROGRAM] [files] [megabytes]

DVC is a peer of a group of its own: `pip install --group peers-files` into an environment apart, and give its program.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import tempfile
import time
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from blake3 import blake3

from everloop.data.files.building import TreeBuilder
from everloop.data.files.diff import diff_trees, edit_tree
from everloop.data.files.records import FileEntry, TreeReference
from everloop.data.files.rows import Rows
from everloop.data.files.sink import ObjectSink
from everloop.data.service import Data
from everloop.kernel.runtime import open_kernel
from everloop.kernel.settings import Settings

if TYPE_CHECKING:
    from collections.abc import Callable

    from everloop.kernel.objects import Objects

SIZE = 10_000


def seconds(call: Callable[[], object]) -> float:
    start = time.perf_counter()
    call()
    return time.perf_counter() - start


def write_small(folder: Path, files: int) -> None:
    for number in range(files):
        path = folder / f"{number // 200:03}" / f"{number}.bin"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(os.urandom(SIZE))
    time.sleep(0.1)


def edit(folder: Path, files: int) -> None:
    for number in range(0, files, 100):
        (folder / f"{number // 200:03}" / f"{number}.bin").write_bytes(os.urandom(SIZE))
    time.sleep(0.1)


def floor(folder: Path, target: Path) -> None:
    """Read and hash every file, and write all bytes once to one durable file."""
    with target.open("wb") as out:
        for path in folder.rglob("*"):
            if path.is_file():
                content = path.read_bytes()
                blake3(content).digest()
                out.write(content)
        out.flush()
        os.fsync(out.fileno())


def look(folder: Path) -> None:
    """Ask the file system for the status of every file, and nothing else: the least that a comparison costs in Python."""
    waiting = [str(folder)]
    while waiting:
        with os.scandir(waiting.pop()) as entries:
            for entry in entries:
                if entry.is_dir(follow_symlinks=False):
                    waiting.append(entry.path)
                else:
                    entry.stat(follow_symlinks=False)


def dvc(program: str, root: Path, *words: str) -> float:
    return seconds(lambda: subprocess.run([program, *words], cwd=root, check=True, capture_output=True))


def small(data: Data, root: Path, files: int, program: str) -> None:
    folder = root / "small"
    write_small(folder, files)
    least = seconds(lambda: floor(folder, root / "floor"))
    ours = {"add": seconds(lambda: data.add_files("small", folder))}
    # What is compared is in the page cache for both.
    bare = min(seconds(lambda: look(folder)) for _ in range(3))
    statuses = [seconds(lambda: data.status("small", folder)) for _ in range(3)]
    ours["status"] = sorted(statuses)[1]
    peer = {}
    if program:
        peer["add"] = dvc(program, root, "add", "-q", "small")
        peer["status"] = sorted(dvc(program, root, "status", "-q") for _ in range(3))[1]
    edit(folder, files)
    ours["re-add of 1 %"] = seconds(lambda: data.add_files("small", folder))
    if program:
        peer["re-add of 1 %"] = dvc(program, root, "add", "-q", "small")
    print(
        f"{files:,} files of {SIZE:,} bytes; read + hash + write once: {least:.2f} s, scandir + stat: {bare:.3f} s"
    )
    for verb, spent in ours.items():
        beside = f", DVC {peer[verb]:.2f} s = {peer[verb] / spent:.1f} times" if peer else ""
        print(f"  {verb}: {spent:.3f} s{beside}")


def large(data: Data, root: Path, megabytes: int, program: str) -> None:
    folder = root / "large"
    folder.mkdir()
    with (folder / "big.bin").open("wb") as file:
        for _ in range(megabytes // 64):
            file.write(os.urandom(64 << 20))
    time.sleep(0.1)
    least = seconds(lambda: floor(folder, root / "floor"))
    ours = seconds(lambda: data.add_files("large", folder))
    (folder / "big.bin").rename(root / "again.bin")
    linked = root / "linked"
    linked.mkdir()
    with (root / "again.bin").open("r+b") as file:
        file.write(b"another")
    (root / "again.bin").rename(linked / "big.bin")
    time.sleep(0.1)
    by_link = seconds(lambda: data.link_files("linked", linked))
    (linked / "big.bin").rename(folder / "big.bin")
    beside = ""
    if program:
        peer = dvc(program, root, "add", "-q", "large/big.bin")
        beside = f", DVC {peer:.2f} s = {peer / ours:.1f} times, {peer / by_link:.1f} times linked"
    print(
        f"one file of {megabytes:,} MB copied: {ours:.2f} s (floor {least:.2f} s), linked: {by_link:.2f} s{beside}"
    )


def million(objects: Objects, files: int = 1_000_000) -> None:
    """Compare two versions of a million files; their contents are names only."""
    random = np.random.default_rng(0)
    paths = [f"{number // 1_000:04}/{number:07}.bin" for number in range(files)]
    rows = Rows(
        paths,
        random.integers(0, 256, (files, 32), dtype=np.uint8),
        np.full(files, SIZE, np.int64),
        np.zeros(files, np.uint8),
        {},
    )

    def build() -> TreeReference:
        with ObjectSink(objects) as sink:
            builder = TreeBuilder(sink.add)
            builder.add_rows(rows)
            found = builder.finish()
            sink.drain()
        return found

    start = time.perf_counter()
    first = build()
    built = time.perf_counter() - start
    for share in (10_000, 100):
        changed: dict[str, FileEntry | None] = {
            path: FileEntry(path=path, digest="b3:" + "0" * 64, size_bytes=1) for path in paths[::share]
        }
        second = edit_tree(first, changed, objects)
        spent = seconds(partial(diff_trees, first, second, objects))
        print(f"{files:,} files, {len(changed):,} changed: diff {spent:.2f} s (tree built in {built:.1f} s)")


def main() -> None:
    """Print the figures."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--dvc", default="")
    parser.add_argument("files", type=int, nargs="?", default=20_000)
    parser.add_argument("megabytes", type=int, nargs="?", default=2_048)
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        root = Path(name) / "project"
        root.mkdir()
        if chosen.dvc:
            dvc(chosen.dvc, root, "init", "-q", "--no-scm")
        kernel = open_kernel(Settings(home=Path(name) / "home"))
        data = Data(kernel)
        small(data, root, chosen.files, chosen.dvc)
        large(data, root, chosen.megabytes, chosen.dvc)
        million(kernel.objects)
        kernel.close()


if __name__ == "__main__":
    main()
