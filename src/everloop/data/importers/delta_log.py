"""The log of a Delta table: which files are live in each version.

Reads commits (JSON), checkpoints in one or several parts, and checkpoints of version 2 with sidecars. What a
reader must understand and this one does not (deletion vectors, column mapping) is refused, never ignored.
"""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import unquote

import pyarrow.parquet as pq

from everloop.data.importers.errors import (
    NoRepositoryError,
    UnreadableHistoryError,
    UnsafePathError,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from everloop.data.importers.delta_place import DeltaPlace

LOG = "_delta_log"
_COMMIT = re.compile(r"(\d{20})\.json")
# One file; one of several parts; version 2, named by a UUID.
_CHECKPOINT = re.compile(
    r"(\d{20})\.checkpoint(?:\.(\d{10})\.(\d{10})|\.([0-9a-fA-F-]{36}))?\.(parquet|json)"
)
_READER_VERSION = 3
# Features of version 3 that change nothing for who reads live files by name.
# Deletion vectors and column mapping are refused where they are used, not where they are allowed.
_KNOWN_FEATURES = {
    "timestampNtz", "v2Checkpoint", "vacuumProtocolCheck", "appendOnly", "domainMetadata",
    "deletionVectors", "columnMapping",
}  # fmt: skip
_COLUMNS = ["add", "remove", "metaData", "protocol", "sidecar"]


class LiveFile(NamedTuple):
    """A file whose rows belong to a version."""

    path: str
    size_bytes: int
    partition: dict[str, str | None]
    has_deletions: bool


class Snapshot(NamedTuple):
    """One version of the table.

    Attributes:
        schema: the table's columns as JSON, in Spark's words.
        problem: why the rows of this version cannot be read; empty when they can.
    """

    number: int
    time: datetime
    operation: str
    author: str
    schema: str
    partition_columns: list[str]
    files: dict[str, LiveFile]
    problem: str


class _State:
    """The table while its log is replayed."""

    def __init__(self, place: str) -> None:
        self.files: dict[str, LiveFile] = {}
        self.schema = ""
        self.partition_columns: list[str] = []
        self._place = place
        self._mapping = "none"
        self._unknown = ""

    def apply_commit(self, actions: list[dict[str, Any]]) -> None:
        """Take the actions of a commit; they have no order, so what is removed goes first."""
        for action in actions:
            if (removed := action.get("remove")) is not None:
                self.files.pop(unquote(removed["path"]), None)
        self.apply_checkpoint(actions)

    def apply_checkpoint(self, actions: Iterable[dict[str, Any]]) -> None:
        """Take the actions of a checkpoint; its removals are of files that it does not add."""
        for action in actions:
            if (added := action.get("add")) is not None:
                file = self._live(added)
                self.files[file.path] = file
            if (metadata := action.get("metaData")) is not None:
                self._set_metadata(metadata)
            if (protocol := action.get("protocol")) is not None:
                self._set_protocol(protocol)

    def problem(self) -> str:
        """Return why the rows cannot be read now, and what to do; empty when they can."""
        if self._unknown:
            return f"its readers must know {self._unknown}. Export it as Parquet and add that"
        if self._mapping != "none":
            return f"its columns are mapped by {self._mapping}, so its files name them otherwise. Write it again without column mapping"
        deleted = next((file.path for file in self.files.values() if file.has_deletions), None)
        if deleted is not None:
            return f"the file {deleted} has a deletion vector, so some of its rows are deleted. Rewrite such files first (REORG TABLE ... APPLY (PURGE))"
        return ""

    def _live(self, added: dict[str, Any]) -> LiveFile:
        path = unquote(added["path"])
        if "://" in path or path.startswith("/") or ".." in path.split("/"):
            raise UnsafePathError(
                f"the Delta table {self._place} names the file {path}, which lies outside of it (a shallow clone?). "
                "Copy the table with its files, then import the copy.",
                subject=path,
            )
        partition = dict(added.get("partitionValues") or {})
        return LiveFile(path, int(added["size"]), partition, added.get("deletionVector") is not None)

    def _set_metadata(self, metadata: dict[str, Any]) -> None:
        configuration = dict(metadata.get("configuration") or {})
        self._mapping = configuration.get("delta.columnMapping.mode") or "none"
        self.schema = metadata["schemaString"]
        self.partition_columns = list(metadata.get("partitionColumns") or [])

    def _set_protocol(self, protocol: dict[str, Any]) -> None:
        version = int(protocol.get("minReaderVersion") or 1)
        unknown = sorted(set(protocol.get("readerFeatures") or ()) - _KNOWN_FEATURES)
        newer = f"version {version} of the protocol" if version > _READER_VERSION else ""
        self._unknown = ", ".join(unknown) or newer


def replay(place: DeltaPlace, *, since: int | None = 0) -> Iterator[Snapshot]:
    """Yield the versions from `since` on, oldest first; those that the log can still tell.

    Args:
        place: of the table.
        since: first version to yield; None is the latest.

    Raises:
        NoRepositoryError: there is no log.
        UnreadableHistoryError: a commit is missing or damaged.
        UnsafePathError: a file lies outside of the table.
    """
    names = place.log_names()
    commits = sorted(int(found[1]) for name in names if (found := _COMMIT.fullmatch(name)))
    checkpoints = _checkpoints(names)
    if not commits and not checkpoints:
        raise NoRepositoryError(
            f"{place.name} is no Delta table: it has no {LOG} with commits. Check the path.",
            subject=place.name,
        )
    first = max([*commits, *checkpoints]) if since is None else since
    start = _start(place, checkpoints, first, has_all=0 in commits)
    state = _State(place.name)
    if start is not None:
        state.apply_checkpoint(_checkpoint_actions(place, checkpoints[start]))
        if start not in commits and start >= first:
            yield _snapshot(state, start, {}, place.log_time(checkpoints[start][0]))
    for number in _without_gaps(place, commits, start):
        actions = _json_actions(place, f"{number:020}.json")
        if number != start:
            state.apply_commit(actions)
        if number >= first:
            about: dict[str, Any] = next(
                (action["commitInfo"] for action in actions if action.get("commitInfo")), {}
            )
            yield _snapshot(state, number, about, place.log_time(f"{number:020}.json"))


def _start(
    place: DeltaPlace, checkpoints: Mapping[int, list[str]], since: int, *, has_all: bool
) -> int | None:
    """Return the checkpoint to begin from, None to begin from the first commit."""
    before = [number for number in checkpoints if number <= since]
    if before:
        return max(before)
    if has_all:
        return None
    if not checkpoints:
        raise UnreadableHistoryError(
            f"the log of the Delta table {place.name} begins without its first commit and has no checkpoint. "
            f"Restore the folder {LOG}.",
            subject=place.name,
        )
    return min(checkpoints)


def _without_gaps(place: DeltaPlace, commits: list[int], start: int | None) -> list[int]:
    """Return the commits from the start on; refuse when one is missing."""
    found = [number for number in commits if start is None or number >= start]
    expected = 0 if start is None else start + (start not in commits)
    for place_in_log, number in enumerate(found, expected):
        if number != place_in_log:
            raise UnreadableHistoryError(
                f"the commit {place_in_log} of the Delta table {place.name} is missing. "
                f"Restore {LOG}/{place_in_log:020}.json.",
                subject=place.name,
                details={"missing": place_in_log},
            )
    return found


def _snapshot(state: _State, number: int, about: Mapping[str, Any], modified: datetime) -> Snapshot:
    milliseconds = about.get("inCommitTimestamp") or about.get("timestamp")
    time = datetime.fromtimestamp(milliseconds / 1000, UTC) if milliseconds else modified
    author = str(about.get("userName") or about.get("engineInfo") or "")
    return Snapshot(
        number=number,
        time=time,
        operation=str(about.get("operation") or ""),
        author=author,
        schema=state.schema,
        partition_columns=state.partition_columns,
        files=dict(state.files),
        problem=state.problem(),
    )


def _checkpoints(names: Iterable[str]) -> dict[int, list[str]]:
    """Return the whole checkpoints by version; one whose parts are not all there is none."""
    found: dict[int, list[str]] = {}
    parts: dict[tuple[int, int], list[str]] = {}
    for name in sorted(names):
        match = _CHECKPOINT.fullmatch(name)
        if match is None:
            continue
        if match[3]:
            parts.setdefault((int(match[1]), int(match[3])), []).append(name)
        else:
            found.setdefault(int(match[1]), [name])
    for (number, count), part_names in parts.items():
        if len(part_names) == count:
            found.setdefault(number, part_names)
    return found


def _json_actions(place: DeltaPlace, name: str) -> list[dict[str, Any]]:
    try:
        return [json.loads(line) for line in place.read_log(name).splitlines() if line.strip()]
    except ValueError as error:
        raise _damaged(place, name, error) from error


def _checkpoint_actions(place: DeltaPlace, names: Iterable[str]) -> Iterator[dict[str, Any]]:
    for name in names:
        actions = _json_actions(place, name) if name.endswith(".json") else _parquet_actions(place, name)
        for action in actions:
            yield action
            if (sidecar := action.get("sidecar")) is not None:
                yield from _parquet_actions(place, f"_sidecars/{unquote(sidecar['path']).rsplit('/', 1)[-1]}")


def _parquet_actions(place: DeltaPlace, name: str) -> Iterator[dict[str, Any]]:
    try:
        with place.open_log(name) as stream, pq.ParquetFile(stream) as file:
            columns = [column for column in _COLUMNS if column in file.schema_arrow.names]
            for batch in file.iter_batches(columns=columns):
                yield from batch.to_pylist()
    except (OSError, ValueError) as error:
        raise _damaged(place, name, error) from error


def _damaged(place: DeltaPlace, name: str, error: Exception) -> UnreadableHistoryError:
    return UnreadableHistoryError(
        f"{LOG}/{name} of the Delta table {place.name} is damaged: {error}. Restore it.", subject=place.name
    )
