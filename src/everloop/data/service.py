"""The verbs of data; what reads tables is imported where it is used, so that a command about folders or names starts fast.

Tests: tests/unit/data/test_service.py, tests/integration/test_data_cli.py.
"""

from __future__ import annotations

import builtins
from contextlib import ExitStack
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import msgspec

from everloop.core.digests import Digest
from everloop.core.errors import InvalidInputError
from everloop.data import committed, queries, rules
from everloop.data.checking import Checking
from everloop.data.committed import VersionMovedError
from everloop.data.featuring import Featuring
from everloop.data.importing import Importing
from everloop.data.manifests import decode_manifest
from everloop.data.protecting import Protecting
from everloop.data.records import (
    Dataset,
    DatasetVersion,
    Merge,
    Operation,
    Profile,
    QuarantinedRows,
    Suite,
    SuiteResult,
    TableReference,
    VersionDiff,
)
from everloop.data.retaining import Retaining
from everloop.data.sharing import Sharing
from everloop.data.training import Training
from everloop.kernel.operations import operation

if TYPE_CHECKING:
    from collections.abc import Sequence

    import sqlalchemy as sa

    from everloop.data import adding
    from everloop.data.adding import Mode
    from everloop.data.merging import Prefer
    from everloop.data.table import Table

__all__ = ["Data", "EventTimeError", "SuiteFailedError", "VersionMovedError"]

DiffLevel = Literal["schema", "statistics", "rows"]
QUARANTINE = ".quarantine"
# How often an append is tried again when another writer was faster.
_ATTEMPTS = 64


class SuiteFailedError(InvalidInputError):
    """A check of severity `fail` failed; no version was made."""

    code = "data.suite-failed"


class EventTimeError(InvalidInputError):
    """The column named as event time is missing or is no time."""

    code = "data.event-time"


class Data(Checking, Featuring, Importing, Protecting, Retaining, Sharing, Training):
    """Datasets, their versions, checks and profiles."""

    stage = "data"

    def add(  # noqa: PLR0913 - what a version is, by keyword
        self,
        name: str,
        source: object,
        *,
        suite: Suite | None = None,
        message: str = "",
        mode: Mode = "replace",
        branch: str = rules.MAIN,
        keys: Sequence[str] | None = None,
        event_time: str | None = None,
        known_time: str | None = None,
        run: str = "",
        **options: Any,  # noqa: ANN401 - each kind of source has its own
    ) -> DatasetVersion:
        """Add a version of a dataset, making the dataset on first use.

        The same content as the branch's latest version makes no new version; the result then says `is_unchanged`. The order
        of rows is no content. A rewritten table is stored as the rows that changed where that is smaller.

        Args:
            name: of the dataset.
            source: a path, folder, pattern or URL of CSV, JSON lines, Parquet, Arrow or Excel files, an Arrow table, a
                pandas or Polars frame, a DuckDB relation, a `Table`, an iterator of batches, a list of records, a dict of
                columns; see `connectors.open_source`.
            suite: checks to pass; rows that fail one of severity `quarantine` go to `<name>.quarantine`.
            message: why, for people.
            mode: the rows are the whole new version, or come after those of the latest, or stand in place of those with
                the same keys.
            branch: where the version is added; `main` comes into being with the dataset, others by `branch`.
            keys: columns that name a row; kept from the parent when not given.
            event_time: the column that says when a row's fact happened; kept from the parent when not given.
            known_time: the column that says when it became known; kept likewise.
            run: id of the run that adds it.
            **options: of the source's kind, `encoding`, `sheet`, ...

        Raises:
            SuiteFailedError: a check of severity `fail` failed; nothing was written.
            DuplicateKeyError: two rows have the same keys.
            EmptySourceError, RaggedRowError, MissingColumnError, SchemaMismatchError: as named; nothing was
                written.
        """
        from everloop.data import adding
        from everloop.data.connectors import refuse_empty

        rules.parse_reference(name)
        rules.parse_ref_name(branch)
        with ExitStack() as stack:
            rows = adding.stage(source, stack, options)
            refuse_empty(rows.num_rows, source)
            request = adding.Request(
                name=name, mode=mode, branch=branch, suite=suite, message=message, keys=keys,
                event_time=event_time, known_time=known_time, run=run,
            )  # fmt: skip
            for attempt in range(_ATTEMPTS):
                try:
                    return self._add_once(request, rows, stack)
                except VersionMovedError:
                    if mode == "replace" or attempt == _ATTEMPTS - 1:
                        raise
        raise AssertionError  # the loop returns or raises

    def remove(self, name: str, where: str, *, branch: str = rules.MAIN, message: str = "") -> DatasetVersion:
        """Add a version without the rows for which a condition in SQL is true; only their places are written.

        Raises:
            QueryError: the condition is wrong.
        """
        from everloop.data import deltas

        parent = self.version(f"{name}@{branch}")
        left = deltas.remove(self.content(parent.ref), f"WHERE {where}", self.kernel.objects)
        content = deltas.settle(left, self.kernel.objects)
        return self._commit_edit(parent, content, branch=branch, operation="delete", message=message or where)

    def revert(self, name: str, to: str, *, branch: str = rules.MAIN, message: str = "") -> DatasetVersion:
        """Add a version with the content of an earlier one, `v3` or `main~1`; nothing is copied."""
        parent, chosen = self.version(f"{name}@{branch}"), self.version(f"{name}@{to}")
        if chosen.shape == "files":
            return self._revert_files(parent, chosen, branch=branch, message=message or f"as {chosen.ref}")
        content = msgspec.structs.replace(self.content(chosen.ref), name="")
        text = message or f"as {chosen.ref}"
        return self._commit_edit(parent, content, branch=branch, operation="revert", message=text)

    def merge(
        self, name: str, branch: str, *, into: str = rules.MAIN, prefer: Prefer = "none", message: str = ""
    ) -> Merge:
        """Add a version to a branch that holds what another branch changed since both were one.

        Args:
            name: of the dataset.
            branch: the branch, tag or version that is merged.
            into: the branch that moves.
            prefer: whose row, or file, stands where both sides changed it differently; `none` refuses and writes nothing.
            message: why, for people.

        Raises:
            MergeConflictError: rows or files conflict; the details hold some of them.
            MergeSchemaError: the columns differ.
        """
        from everloop.data import deltas
        from everloop.data.merging import merge_tables

        ours, theirs = self.version(f"{name}@{into}"), self.version(f"{name}@{branch}")
        base = self.merge_base(name, into, branch)
        if ours.shape == "files":
            text = message or f"merge of {theirs.ref}"
            return self._merge_files(base, ours, theirs, into=into, prefer=prefer, message=text)
        found = merge_tables(
            self.content(base.ref),
            self.content(ours.ref),
            self.content(theirs.ref),
            self.kernel.objects,
            keys=ours.keys,
            prefer=prefer,
        )
        version = self._commit_edit(
            ours,
            deltas.settle(found.content, self.kernel.objects),
            branch=into,
            operation="merge",
            message=message or f"merge of {theirs.ref}",
            merged=theirs.version,
        )
        return Merge(
            base=base.ref,
            ours=ours.ref,
            theirs=theirs.ref,
            version=version,
            changed=found.changed,
            removed=found.removed,
            conflicts=found.conflicts,
            sample=found.sample,
        )

    def read(self, ref: str, *, as_of: datetime | None = None) -> Table:
        """Return the table of a version; rows are fetched when asked for.

        Args:
            ref: `flights`, `flights@v12`, `flights@2013-02-01`.
            as_of: versions added after this moment do not exist for the call.
        """
        from everloop.data.table import Table

        return Table.open(self.content(ref, as_of=as_of), self.kernel.objects)

    def export(
        self,
        ref: str,
        target: str | Path,
        *,
        columns: Sequence[str] | None = None,
        where: str = "",
    ) -> int:
        """Write the rows of a version to a file, all or some, and return how many; nothing is held in memory but a piece.

        Args:
            ref: the version.
            target: `.parquet`, `.arrow`, `.csv`, `.jsonl`; texts also `.csv.gz`, `.jsonl.zst`.
            columns: only these, in this order.
            where: a condition in SQL; only rows for which it is true.

        Raises:
            UnsupportedTargetError, QueryError: as named; no file was written.
        """
        from everloop.data.exporting import export

        return export(self.read(ref), Path(target), columns=columns, where=where)

    @operation("GET /datasets", needs="dataset.read", cli="data ls")
    def list(self, *, limit: int = 100, after: str = "") -> builtins.list[Dataset]:
        """Return datasets by name, after the name `after`."""
        with self.kernel.catalog.read() as connection:
            return queries.list_datasets(connection, after=after, limit=limit)

    @operation("GET /datasets/{dataset}", needs="dataset.read", cli="data show")
    def get(self, dataset: str) -> Dataset:
        """Return one dataset."""
        with self.kernel.catalog.read() as connection:
            return queries.find_dataset(connection, dataset)

    @operation("GET /datasets/{dataset}/versions", needs="dataset.read", cli="data versions")
    def versions(self, dataset: str, *, limit: int = 100, before: int = 0) -> builtins.list[DatasetVersion]:
        """Return the versions of a dataset, newest first, below the number `before` when given."""
        with self.kernel.catalog.read() as connection:
            queries.find_dataset(connection, dataset)
            return builtins.list(queries.list_versions(connection, dataset, before=before, limit=limit))

    @operation("GET /dataset-versions/{ref}", needs="dataset.read", cli="data show")
    def version(self, ref: str, *, as_of: datetime | None = None) -> DatasetVersion:
        """Return the version a reference names; see `read`."""
        with self.kernel.catalog.read() as connection:
            return queries.version_of(queries.find_row(connection, rules.parse_reference(ref), as_of))

    @operation("GET /dataset-versions/{ref}/content", needs="dataset.read", cli="data get")
    def content(self, ref: str, *, as_of: datetime | None = None) -> TableReference:
        """Return the stored table of a version: its parts by digest."""
        with self.kernel.catalog.read() as connection:
            version = queries.version_of(queries.find_row(connection, rules.parse_reference(ref), as_of))
            committed.refuse_other_shape(connection, version.dataset, "table")
        content = decode_manifest(self.kernel.objects.get(Digest(version.manifest)))
        return msgspec.structs.replace(content, name=version.ref)

    @operation(
        "POST /datasets/{dataset}/versions", needs="dataset.write", emits="dataset.versioned", cli="data add"
    )
    def commit_version(  # noqa: PLR0913 - the fields of a version, by keyword
        self,
        dataset: str,
        *,
        content: TableReference,
        parent: int,
        merged: int = 0,
        branch: str = rules.MAIN,
        operation: Operation = "add",
        message: str = "",
        keys: builtins.list[str] = [],  # noqa: B006 - never changed
        event_time: str = "",
        known_time: str = "",
        run: str = "",
        suite: SuiteResult | None = None,
        quarantined: QuarantinedRows | None = None,
    ) -> DatasetVersion:
        """Make stored rows the latest version of a branch; the operation's half of `add`.

        Args:
            dataset: its name.
            content: parts that are in the object store, and their digests.
            parent: the branch's latest version the caller knows, 0 for none.
            merged: the version whose changes the content holds too, 0 for none.
            branch: which branch moves.
            operation: how the content came about.
            message: why, for people.
            keys: columns that name a row.
            event_time: column of the event time, or empty.
            known_time: column of the known time, or empty.
            run: id of the run that adds it, or empty.
            suite: what the checks found.
            quarantined: rows put aside.

        Raises:
            VersionMovedError: `parent` is no longer the branch's latest.
            RefNotFoundError: the dataset is there and has no such branch.
        """
        rules.parse_reference(dataset)
        rules.parse_ref_name(branch)
        for column in (event_time, known_time):
            _refuse_bad_time(content, column)
        with self.kernel.catalog.transaction() as connection:
            committed.refuse_moved(connection, dataset, branch, parent)
            committed.refuse_other_shape(connection, dataset, "table")
            aside = self._quarantine(connection, dataset, quarantined) if quarantined else ""
            known = committed.same_content(connection, dataset, parent, content)
            if known is not None:
                self.unchanged()
                return msgspec.structs.replace(known, is_unchanged=True)
            version = committed.write_version(
                self.kernel,
                connection,
                dataset,
                content,
                parent=parent,
                merged=merged,
                branch=branch,
                operation=operation,
                message=message,
                keys=keys,
                event_time=event_time,
                known_time=known_time,
                run=run,
                suite=suite,
                quarantine=aside,
            )
            subject = f"dataset:{version.ref}"
            event = self.emit(connection, subject=subject, payload=committed.facts_of(version))
            if suite is not None:
                self._tell(
                    connection, "dataset.checked", subject, {"suite": suite.suite, "verdict": suite.verdict}
                )
            if aside:
                self.kernel.events.link(
                    connection, source=subject, verb="quarantined", target=f"dataset:{aside}", event=event
                )
            return version

    @operation("GET /dataset-versions/{ref}/profile", needs="dataset.read", cli="data profile")
    def profile(self, ref: str, *, as_of: datetime | None = None) -> Profile:
        """Return the profile of a version: the merged statistics of its parts, each scanned once and kept."""
        from everloop.data.statistics import profile_of

        return profile_of(self.content(ref, as_of=as_of), self.kernel)

    @operation("GET /datasets/{dataset}/quarantine", needs="dataset.read", cli="data quarantine")
    def quarantine(self, dataset: str, *, limit: int = 100) -> builtins.list[DatasetVersion]:
        """Return the quarantine versions of a dataset, newest first; read their rows with `read`."""
        with self.kernel.catalog.read() as connection:
            queries.find_dataset(connection, dataset)
            return builtins.list(
                queries.list_versions(connection, dataset + QUARANTINE, before=0, limit=limit)
            )

    @operation("GET /dataset-diffs", needs="dataset.read", cli="data diff")
    def diff(self, old: str, new: str, *, level: DiffLevel = "schema", sample: int = 20) -> VersionDiff:
        """Return what changed between two versions.

        Args:
            old: one version.
            new: the other.
            level: `schema` compares parts and columns from the manifests alone; `statistics` adds the profiles;
                `rows` adds rows added, removed and changed, by the keys of the new version or whole.
            sample: how many rows to show.
        """
        one, other = self.version(old), self.version(new)
        before, after = self.content(one.ref), self.content(other.ref)
        found = rules.compare(one, before, other, after)
        if level == "schema":
            return found
        from everloop.data.row_diff import diff_rows
        from everloop.data.statistics import compare_profiles

        moved = compare_profiles(self.profile(one.ref), self.profile(other.ref))
        if level == "statistics":
            return msgspec.structs.replace(found, statistics=moved)
        rows = diff_rows(before, after, self.kernel.objects, keys=other.keys, sample=sample)
        return msgspec.structs.replace(found, statistics=moved, rows=rows)

    def _add_once(self, request: adding.Request, rows: Table, stack: ExitStack) -> DatasetVersion:
        from everloop.data import adding

        name = request.name
        parent = self._head(name, request.branch)
        before = self.read(parent.ref) if parent else None
        keys = list(request.keys if request.keys is not None else parent.keys if parent else [])
        if request.mode != "replace" and before is not None:
            rules.refuse_other_columns(name, before.columns, rows.columns)
            rows = adding.in_shape_of(name, before, rows, stack)
        present = before if request.mode == "append" else None
        result, aside = None, None
        if request.suite is not None:
            result, rows, aside = self._checked(name, request.suite, rows, present, stack)
        adding.refuse_repeated_keys(name, rows, keys, present=present, mode=request.mode)
        content = adding.content_of(rows, before, keys, mode=request.mode, objects=self.kernel.objects)
        return self.commit_version(
            name,
            content=content,
            parent=parent.version if parent else 0,
            branch=request.branch,
            operation="add" if request.mode == "replace" or before is None else request.mode,
            message=request.message,
            keys=keys,
            event_time=adding.inherited(request.event_time, parent.event_time if parent else "", rows),
            known_time=adding.inherited(request.known_time, parent.known_time if parent else "", rows),
            run=request.run,
            suite=result,
            quarantined=aside,
        )

    def _head(self, name: str, branch: str) -> DatasetVersion | None:
        try:
            return self.version(f"{name}@{branch}")
        except queries.DatasetNotFoundError:
            return None

    def _commit_edit(
        self,
        parent: DatasetVersion,
        content: TableReference,
        *,
        branch: str,
        operation: Operation,
        message: str,
        merged: int = 0,
    ) -> DatasetVersion:
        return self.commit_version(
            parent.dataset,
            content=content,
            parent=parent.version,
            merged=merged,
            branch=branch,
            operation=operation,
            message=message,
            keys=parent.keys,
            event_time=parent.event_time,
            known_time=parent.known_time,
        )

    def _checked(
        self, name: str, suite: Suite, rows: Table, before: Table | None, stack: ExitStack
    ) -> tuple[SuiteResult, Table, QuarantinedRows | None]:
        from everloop.data import adding
        from everloop.data.suites import pin_references, put_aside, run_suite

        pinned, tables = pin_references(suite, self.read)
        now = self.kernel.clock.now()
        result = run_suite(pinned, rows, before=before, tables=tables, now=now)
        if result.verdict == "failed":
            raise suite_failed(name, result)
        wrong = [one for one in result.results if not one.is_passed and one.check.severity == "quarantine"]
        if not wrong:
            return result, rows, None
        aside = Suite(suite.name, [one.check for one in wrong])
        good, bad = put_aside(
            aside, rows, before=before, tables=tables, collect=lambda pieces: adding.staged(pieces, stack)
        )
        stored = bad.store(self.kernel.objects).reference
        if stored is None:
            raise AssertionError("a stored table has a reference")
        reasons = {one.check.title: one.failed_rows for one in wrong}
        return result, good, QuarantinedRows(table=stored, reasons=reasons)

    def _quarantine(self, connection: sa.Connection, dataset: str, rows: QuarantinedRows) -> str:
        """Make the rows put aside the latest version of the quarantine; return its reference."""
        name = dataset + QUARANTINE
        queries.latest_number(connection, name, lock=True)
        parent = queries.head_number(connection, name, rules.MAIN)
        known = committed.same_content(connection, name, parent, rows.table)
        if known is not None:
            return known.ref
        version = committed.write_version(
            self.kernel,
            connection,
            name,
            rows.table,
            parent=parent,
            branch=rules.MAIN,
            operation="quarantine",
            message=f"rows put aside by the checks of {dataset}",
        )
        payload = {"rows": version.rows, "reasons": rows.reasons}
        self._tell(connection, "dataset.quarantined", f"dataset:{version.ref}", payload)
        return version.ref

    def _tell(self, connection: sa.Connection, kind: str, subject: str, payload: dict[str, object]) -> None:
        self.kernel.events.append(connection, kind=kind, subject=subject, payload=payload)


def _refuse_bad_time(content: TableReference, event_time: str) -> None:
    if not event_time:
        return
    kinds = {column.name: column.type for column in content.columns}
    if not kinds.get(event_time, "").startswith(("timestamp", "date")):
        found = f"is of type {kinds[event_time]}" if event_time in kinds else "is not a column"
        raise EventTimeError(
            f"the time column {event_time!r} {found}. Name a column of times; there are: "
            f"{', '.join(name for name, kind in kinds.items() if kind.startswith(('timestamp', 'date'))) or 'none'}.",
        )


def suite_failed(name: str, result: SuiteResult) -> SuiteFailedError:
    failed = [one for one in result.results if not one.is_passed and one.check.severity == "fail"]
    reasons = "; ".join(f"{one.check.title}: {one.reason}" for one in failed)
    return SuiteFailedError(
        f"suite {result.suite} refused these rows for dataset {name} ({reasons}). Nothing was written. Mend the source, "
        'or give the check severity "quarantine" to put such rows aside.',
        subject=f"dataset:{name}",
        details=msgspec.to_builtins(result),
    )
