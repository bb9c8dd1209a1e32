"""The verbs that bring versions from elsewhere: another system's history, an endless stream.

They run in the caller's process: no server fetches an address or opens a path that a client names.
Tests: tests/unit/data/importers/test_importing.py, tests/integration/test_lakefs.py.
"""

from __future__ import annotations

import hashlib
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from everloop.core.errors import InvalidInputError
from everloop.data import queries, rules
from everloop.data.branching import Branching
from everloop.data.filing import Filing

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

    from everloop.data.connectors.files import LocalFile
    from everloop.data.connectors.protocol import SourceStream
    from everloop.data.files.bringing import Known, Source
    from everloop.data.importers import ImportedFile, ImportedVersion
    from everloop.data.records import DatasetVersion

    Told = Callable[[int, int], None]
    Locate = Callable[[ImportedFile], Any]

_NOT_IN_A_REF = re.compile(r"[^A-Za-z0-9_.-]+")
_SHORT = 12


class NoSuchFileError(InvalidInputError):
    """No version of the other system has the file that was asked for."""

    code = "data.import-no-such-file"


class Importing(Branching, Filing):
    """Bring the history of another system, or a stream, into a dataset; a second call goes on where the first one stopped."""

    # Verbs of tables, which the stage has.
    add: Callable[..., DatasetVersion]
    version: Callable[..., DatasetVersion]

    def import_dvc(
        self,
        name: str,
        folder: str | Path,
        *,
        refs: Literal["tags", "branches"] = "tags",
        paths: Sequence[str] = (),
        table: str = "",
        branch: str = rules.MAIN,
        told: Told | None = None,
    ) -> list[DatasetVersion]:
        """Make each git tag of a DVC repository a version of files, tagged alike; DVC itself is not needed.

        Args:
            name: of the dataset.
            folder: the repository, with its cache fetched.
            refs: what becomes a version: each tag, or the head of each branch.
            paths: files and folders to bring; all when empty.
            table: the path of one tabular file; then each version is a table of its rows, not a tree of files.
            branch: where the versions are added.
            told: called with files and bytes read so far.

        Raises:
            NoRepositoryError, MissingContentError, DamagedContentError: as named; versions brought before stay.
            NoSuchFileError: no version has the file `table`.
        """
        from everloop.data.importers.dvc import read_dvc

        chosen = [table] if table else paths
        return self._bring(
            name, read_dvc(folder, refs=refs, paths=chosen), "DVC", table, branch, _local, told
        )

    def import_lakefs(  # noqa: PLR0913 - where, as whom, and what
        self,
        name: str,
        endpoint: str,
        repository: str,
        *,
        access_key_id: str,
        secret_access_key: str,
        ref: str = "main",
        prefix: str = "",
        table: str = "",
        limit: int = 100,
        branch: str = rules.MAIN,
        told: Told | None = None,
    ) -> list[DatasetVersion]:
        """Make the latest commits of a lakeFS branch versions of files; nothing there is changed.

        Args:
            name: of the dataset.
            endpoint: address of the server.
            repository: its name there.
            access_key_id: of a user who may read.
            secret_access_key: of the same user; kept nowhere.
            ref: a branch, tag or commit.
            prefix: only objects below it; a path keeps it.
            table: the path of one tabular file; then each version is a table of its rows.
            limit: how many commits back.
            branch: where the versions are added.
            told: called with files and bytes read so far.
        """
        from everloop.data.connectors.remote import RemoteFile, open_place
        from everloop.data.importers.lakefs import LakeFS

        lake = LakeFS(endpoint, repository, access_key_id=access_key_id, secret_access_key=secret_access_key)
        place, _, root = open_place(f"s3://{repository}/", store_options=lake.store_options)

        def locate(file: ImportedFile) -> RemoteFile:
            key = file.location.removeprefix(f"{root}/")
            return RemoteFile(place, key, name=file.path, size_bytes=file.size_bytes)

        versions = lake.versions(ref, prefix=table or prefix, limit=limit)
        return self._bring(name, versions, "lakeFS", table, branch, locate, told)

    def import_delta(
        self,
        name: str,
        table: str | Path,
        *,
        since: int | None = None,
        store_options: Mapping[str, str] | None = None,
        keys: Sequence[str] | None = None,
        branch: str = rules.MAIN,
    ) -> list[DatasetVersion]:
        """Make versions of a Delta table versions of a dataset; the table is not changed.

        Args:
            name: of the dataset.
            table: a folder, or a URL of any obstore scheme.
            since: the first version to bring, 0 for all the log still tells; only the latest when None.
            store_options: obstore's options for the URL.
            keys: columns that name a row.
            branch: where the versions are added.

        Raises:
            NoRepositoryError, UnsupportedFeatureError: as named; versions brought before stay.
        """
        from everloop.data.importers.delta import open_delta, read_delta

        found = list(read_delta(table, since=since or 0, store_options=store_options))
        added = []
        for version in found if since is not None else found[-1:]:
            tag = f"delta-{version.name}"

            def add(version: ImportedVersion = version) -> DatasetVersion:
                stream = open_delta(table, version=int(version.name), store_options=store_options)
                return self.add(name, stream, keys=keys, message=_told_by(version, "Delta"), branch=branch)

            added.append(self._tagged(name, tag, add))
        return added

    def stream(
        self,
        name: str,
        batches: Iterable[Any],
        *,
        every_rows: int | None = None,
        every_s: float | None = None,
        branch: str = rules.MAIN,
        **fields: Any,  # noqa: ANN401 - what `add` takes besides
    ) -> Iterator[DatasetVersion]:
        """Append an endless source, a version every so many rows or seconds; yields each version once it is durable.

        What was yielded stays whatever happens later; rows that came after it are to be read again from their source.

        Args:
            name: of the dataset.
            batches: an iterator of tables, frames, lists of records or dicts of columns.
            every_rows: rows of a version.
            every_s: seconds from the first batch of a version to its end, looked at when a batch arrives.
            branch: where the versions are added.
            **fields: of `add`: `suite`, `keys`, `event_time`, `known_time`, `message`.

        Raises:
            ClockWentBackError: the clock told an earlier time than before.
            See `add`.
        """
        import pyarrow as pa

        from everloop.data.connectors import to_arrow
        from everloop.data.connectors.streams import stream_versions

        tables = map(to_arrow, batches)
        groups = stream_versions(tables, every_rows=every_rows, every_s=every_s, clock=self.kernel.clock)

        def versions() -> Iterator[DatasetVersion]:
            for group in groups:
                yield self.add(name, pa.concat_tables(group), mode="append", branch=branch, **fields)

        return versions()

    def _bring(
        self,
        name: str,
        versions: Iterable[ImportedVersion],
        system: str,
        table: str,
        branch: str,
        locate: Locate,
        told: Told | None,
    ) -> list[DatasetVersion]:
        """Add versions one after another, each with its tag; those that are tagged already are only looked up."""
        known: Known = {}
        added = []
        for version in versions:
            tag = _tag_of(version, system)

            def add(version: ImportedVersion = version) -> DatasetVersion:
                message = _told_by(version, system)
                if table:
                    return self.add(name, _table_of(version, table, locate), message=message, branch=branch)
                return self._add_files_of(
                    name, version, known, locate, message=message, branch=branch, told=told
                )

            added.append(self._tagged(name, tag, add))
        if not added:
            raise NoSuchFileError(
                f"there is no version with {table or 'tracked files'} in this {system} repository. Check the path, and that the "
                "versions are tagged.",
                subject=table or name,
            )
        return added

    def _tagged(self, name: str, tag: str, add: Callable[[], DatasetVersion]) -> DatasetVersion:
        """Return the version that has the tag, or add one and tag it; a call that was killed in between does the rest."""
        with self.kernel.catalog.read() as connection:
            known = queries.latest_number(connection, name) and queries.find_ref(connection, name, tag)
        if known:
            return self.version(f"{name}@v{known.version}")
        version = add()
        self.tag(name, tag, at=f"v{version.version}")
        return version

    def _add_files_of(
        self,
        name: str,
        version: ImportedVersion,
        known: Known,
        locate: Locate,
        *,
        message: str,
        branch: str,
        told: Told | None,
    ) -> DatasetVersion:
        from everloop.data.files.bringing import store_files

        def store(before: Any) -> Any:  # noqa: ANN401 - a tree, what was stored
            files = [_source(file, locate) for file in version.files]
            return store_files(files, self.kernel.objects, known=known, parent=before, told=told)

        return self._add_tree(name, store, message=message, branch=branch, run="")


def _source(file: ImportedFile, locate: Locate) -> Source:
    from everloop.data.files.bringing import Source, Verifier

    place = locate(file)
    verify = None
    if file.checksum.startswith("md5:"):

        def verify() -> Verifier:
            hasher = hashlib.md5(usedforsecurity=False)
            return Verifier(hasher.update, lambda: hasher.hexdigest() == file.checksum.removeprefix("md5:"))

    size = place.size_bytes if file.size_bytes is None else file.size_bytes
    return Source(file.path, file.checksum, size, place.open, verify)


def _local(file: ImportedFile) -> LocalFile:
    from everloop.data.connectors.files import LocalFile

    return LocalFile(Path(file.location), name=file.path)


def _table_of(version: ImportedVersion, path: str, locate: Locate) -> SourceStream:
    from everloop.data.connectors.formats import open_file

    found = next((file for file in version.files if file.path == path), None)
    if found is None:
        raise NoSuchFileError(
            f"version {version.name} has no file {path}, but {version.files[0].path}. Name one file.",
            subject=path,
        )
    return open_file(locate(found))


def _tag_of(version: ImportedVersion, system: str) -> str:
    """Return the tag that names the version here: its own name where that can be one."""
    name = version.name[:_SHORT] if version.name == version.source else version.name
    text = _NOT_IN_A_REF.sub("-", name).strip("-.")
    try:
        return rules.parse_ref_name(text)
    except InvalidInputError:
        return rules.parse_ref_name(f"{system.lower()}-{text}")


def _told_by(version: ImportedVersion, system: str) -> str:
    """Return the message of a version: its author's words, and where it comes from."""
    words = version.message.strip().partition("\n")[0]
    origin = f"{system} {version.name} of {version.time:%Y-%m-%d %H:%M} UTC by {version.author or 'unknown'}"
    source = "" if version.source == version.name else f", {version.source}"
    return f"{words} ({origin}{source})" if words else f"{origin}{source}"
