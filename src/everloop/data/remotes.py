"""Versions on a remote: a folder or a bucket that several homes push to and pull from, without a server.

Form: `objects/` and `packs/` as in an object store of ours, `commits/<digest>` for each version, `refs/<dataset>/<branch>` for each branch.
Objects go first, then commits from the oldest on, then the ref by compare-and-swap; so a ref never names what is not there, and
a push that broke off goes on where it was. Tests: tests/unit/data/test_remotes.py, tests/integration/test_remotes.py.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import TYPE_CHECKING

import msgspec

from everloop.core.digests import Digest, digest_bytes
from everloop.core.errors import ConflictError, InvalidInputError
from everloop.core.ids import new_id
from everloop.data.commits import name_of
from everloop.data.files.records import TreeReference
from everloop.data.files.tree import tree_objects
from everloop.data.manifests import decode_manifest, named_objects
from everloop.data.records import Commit
from everloop.kernel.objects.files import open_files
from everloop.kernel.objects.packs import SMALL, fill_packs, read_index

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping
    from pathlib import Path

    from everloop.kernel.objects import Objects
    from everloop.kernel.objects.tables import Location

_PARALLEL = 8


class MissingOnRemoteError(ConflictError):
    """A part of a version is not on the remote, or is damaged there."""

    code = "data.missing-on-remote"


class NoConditionalPutsError(InvalidInputError):
    """The remote cannot write a file only if it is as expected, so two pushes could undo each other."""

    code = "data.no-conditional-puts"


class Remote:
    """Reads and writes one remote.

    Args:
        url: a folder, or a URL of any obstore scheme.
        staging: a folder of this machine for what is on its way.
        options: obstore's options for the URL.
    """

    def __init__(self, url: str, *, staging: Path, options: Mapping[str, str] | None = None) -> None:
        self._files = open_files(url, staging=staging, options=options)
        self.place = self._files.place
        self._packed: dict[Digest, Location] | None = None

    def refuse_without_swaps(self) -> None:
        """Refuse a remote that ignores conditions.

        Raises:
            NoConditionalPutsError: as named; nothing but an empty probe was written.
        """
        name = f"probes/{new_id()}"
        try:
            works = self._files.swap(name, b"1", expected=None) and not self._files.swap(
                name, b"2", expected=None
            )
        finally:
            self._files.delete([name])
        if not works:
            raise NoConditionalPutsError(
                f"the remote {self.place} does not support conditional writes (If-None-Match, If-Match), so two pushes at once could lose "
                "versions. Use a service that does (S3, GCS, Azure, MinIO), or a folder.",
                subject=self.place,
            )

    def head(self, dataset: str, branch: str) -> Digest | None:
        """Return the commit that a branch is at, None when there is no such branch."""
        with suppress(FileNotFoundError):
            return Digest(self._files.read(_ref(dataset, branch)).decode())
        return None

    def move(self, dataset: str, branch: str, commit: Digest, *, expected: Digest | None) -> bool:
        """Move a branch if it is where it is expected; return whether it was."""
        before = None if expected is None else expected.encode()
        return self._files.swap(_ref(dataset, branch), commit.encode(), expected=before)

    def commit(self, digest: str) -> Commit:
        """Return a commit.

        Raises:
            MissingOnRemoteError: it is not there, or is not what its name says.
        """
        try:
            found = msgspec.json.decode(self._files.read(_commit(digest)), type=Commit)
        except (FileNotFoundError, msgspec.DecodeError) as error:
            raise self._missing(f"commit {digest[:11]}") from error
        if name_of(found) != digest:
            raise self._missing(f"commit {digest[:11]}")
        return found

    def write_commit(self, commit: Commit) -> None:
        """Write a commit."""
        self._files.write(_commit(name_of(commit)), [msgspec.json.encode(commit)], durable=True)

    def has(self, digest: Digest) -> bool:
        """Return whether an object is there."""
        return digest in self._index() or self._files.size(_object(digest)) is not None

    def send(self, digests: Iterable[Digest], objects: Objects) -> tuple[int, int]:
        """Write those objects that are not there; return how many, and their bytes."""
        wanted = sorted(set(digests))
        with ThreadPoolExecutor(_PARALLEL, thread_name_prefix="everloop-push") as pool:
            fresh = [
                digest for digest, has in zip(wanted, pool.map(self.has, wanted), strict=True) if not has
            ]
            sizes = dict(zip(fresh, map(objects.size, fresh), strict=True))
            small = [digest for digest in fresh if sizes[digest] <= SMALL]
            list(pool.map(lambda digest: self._send_one(digest, objects), fresh_of(fresh, sizes)))
        for pack in fill_packs((digest, content) for digest, content in objects.get_many(small)):
            self._files.write(pack.name, pack.pieces(), durable=True)
            self._index().update({place.digest: place for place in pack.locations})
        return len(fresh), sum(sizes.values())

    def fetch(self, digests: Iterable[Digest], objects: Objects) -> tuple[int, int]:
        """Bring those objects here that are missing; return how many, and their bytes.

        Raises:
            MissingOnRemoteError: one is not there or damaged; what was brought stays for the next try.
        """
        absent = sorted(objects.missing(set(digests)))
        size = 0
        with ThreadPoolExecutor(_PARALLEL, thread_name_prefix="everloop-pull") as pool:
            for start in range(0, len(absent), 64):
                contents = list(pool.map(self.read, absent[start : start + 64]))
                objects.put_many(contents)
                size += sum(map(len, contents))
        return len(absent), size

    def read(self, digest: Digest) -> bytes:
        """Return an object, checked.

        Raises:
            MissingOnRemoteError: it is not there or damaged.
        """
        place = self._index().get(digest)
        try:
            if place is None:
                content = self._files.read(_object(digest))
            else:
                content = self._files.read(place.file, place.offset or 0, place.size)
        except FileNotFoundError as error:
            raise self._missing(f"object {digest[:11]}") from error
        if digest_bytes(content) != digest:
            raise self._missing(f"object {digest[:11]}")
        return content

    def _send_one(self, digest: Digest, objects: Objects) -> None:
        content = objects.path(digest).read_bytes()
        self._files.write(_object(digest), [content], durable=True)

    def _index(self) -> dict[Digest, Location]:
        if self._packed is None:
            self._packed = {}
            for file in self._files.list("packs"):
                self._packed.update({at.digest: at for at in read_index(self._files, file.name, file.size)})
        return self._packed

    def _missing(self, what: str) -> MissingOnRemoteError:
        return MissingOnRemoteError(
            f"{what} is missing or damaged on the remote {self.place}. What was here before stays. Push again from a home that has "
            "the version, then repeat this.",
            subject=self.place,
        )


def fresh_of(fresh: list[Digest], sizes: Mapping[Digest, int]) -> Iterator[Digest]:
    """Yield the objects that are too large for a pack."""
    return (digest for digest in fresh if sizes[digest] > SMALL)


def objects_of(commit: Commit, objects: Objects) -> set[Digest]:
    """Return the objects a version is made of; its manifest, and the shards of a tree, are in the store."""
    if commit.shape == "files":
        tree = TreeReference(digest=commit.digest, manifest=commit.manifest, files=commit.files, size_bytes=0)
        return set(tree_objects([tree], objects))
    content = decode_manifest(objects.get(Digest(commit.manifest)))
    return {Digest(commit.manifest), *named_objects(content)}


def layers(commit: Commit, objects: Objects, fetch: Callable[[set[Digest]], None]) -> None:
    """Bring a version's objects by `fetch`, each layer before what it names: manifest, shards, contents."""
    fetch({Digest(commit.manifest)})
    if commit.shape == "files":
        from everloop.data.files.tree import Tree

        tree = TreeReference(digest=commit.digest, manifest=commit.manifest, files=commit.files, size_bytes=0)
        fetch({shard.digest for shard in Tree(tree, objects).shards})
    fetch(objects_of(commit, objects))


def _ref(dataset: str, branch: str) -> str:
    return f"refs/{dataset}/{branch}"


def _commit(digest: str) -> str:
    return f"commits/{digest[3:5]}/{digest[5:]}"


def _object(digest: str) -> str:
    return f"objects/{digest[3:5]}/{digest[5:]}"
