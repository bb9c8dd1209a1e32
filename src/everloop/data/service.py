"""The verbs of data. Tests: tests/unit/data/test_service.py, tests/integration/test_data_cli.py."""

from __future__ import annotations

import builtins
from datetime import datetime
from typing import TYPE_CHECKING, Literal

import msgspec
import pyarrow as pa
import sqlalchemy as sa

from everloop.core.actors import current_actor
from everloop.core.digests import Digest
from everloop.core.errors import ConflictError, InvalidInputError
from everloop.core.ids import new_id
from everloop.data import queries, rules
from everloop.data.connectors import refuse_empty
from everloop.data.contents import CHUNK_ROWS, chunk_digests, content_digest
from everloop.data.records import (
    CheckRun,
    Dataset,
    DatasetVersion,
    Profile,
    QuarantinedRows,
    Suite,
    SuiteResult,
    TableReference,
    VersionDiff,
)
from everloop.data.table import Table, write_parts
from everloop.data.tables import dataset_check, dataset_profile
from everloop.kernel.operations import Service, operation

if TYPE_CHECKING:
    from everloop.kernel.objects import ObjectStore

QUARANTINE = ".quarantine"
# How often an append is tried again when another writer was faster.
_ATTEMPTS = 8


class SuiteFailedError(InvalidInputError):
    """A check of severity `fail` failed; no version was made."""

    code = "data.suite-failed"


class VersionMovedError(ConflictError):
    """Another version was added since the parent was read."""

    code = "data.version-moved"


class EventTimeError(InvalidInputError):
    """The column named as event time is missing or is no time."""

    code = "data.event-time"


class Data(Service):
    """Datasets, their versions, checks and profiles."""

    stage = "data"

    def add(
        self,
        name: str,
        source: object,
        *,
        suite: Suite | None = None,
        message: str = "",
        mode: Literal["replace", "append"] = "replace",
        event_time: str | None = None,
    ) -> DatasetVersion:
        """Add a version of a dataset, making the dataset on first use.

        The same content as the latest version makes no new version; the result then says `is_unchanged`.

        Args:
            name: of the dataset.
            source: path of a CSV, TSV or Parquet file, an Arrow table, a pandas or Polars frame, a DuckDB
                relation, a `Table`, a list of records or a dict of columns.
            suite: checks to pass; rows that fail one of severity `quarantine` go to `<name>.quarantine`.
            message: why, for people.
            mode: the rows are the whole new version, or come after those of the latest.
            event_time: the column that says when a row's fact happened; kept from the parent when not given.

        Raises:
            SuiteFailedError: a check of severity `fail` failed; nothing was written.
            EmptySourceError, RaggedRowError, MissingColumnError, SchemaMismatchError: as named; nothing was
                written.
        """
        rules.parse_reference(name)
        rows = Table.of(source)
        refuse_empty(rows.num_rows, source)
        for attempt in range(_ATTEMPTS):
            try:
                return self._add_once(
                    name, rows, suite=suite, message=message, mode=mode, event_time=event_time
                )
            except VersionMovedError:
                if mode == "replace" or attempt == _ATTEMPTS - 1:
                    raise
        raise AssertionError  # the loop returns or raises

    def read(self, ref: str, *, as_of: datetime | None = None) -> Table:
        """Return the table of a version; rows are fetched when asked for.

        Args:
            ref: `flights`, `flights@v12`, `flights@2013-02-01`.
            as_of: versions added after this moment do not exist for the call.
        """
        return Table.open(self.content(ref, as_of=as_of), self.kernel.objects)

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
            return queries.content_of(queries.find_row(connection, rules.parse_reference(ref), as_of))

    @operation(
        "POST /datasets/{dataset}/versions", needs="dataset.write", emits="dataset.versioned", cli="data add"
    )
    def commit_version(
        self,
        dataset: str,
        *,
        content: TableReference,
        parent: int,
        message: str = "",
        event_time: str = "",
        suite: SuiteResult | None = None,
        quarantined: QuarantinedRows | None = None,
    ) -> DatasetVersion:
        """Make stored rows the latest version; the operation's half of `add`.

        Args:
            dataset: its name.
            content: parts that are in the object store, and their digests.
            parent: the latest version the caller knows, 0 for none.
            message: why, for people.
            event_time: column of the event time, or empty.
            suite: what the checks found.
            quarantined: rows put aside.

        Raises:
            VersionMovedError: `parent` is no longer the latest.
        """
        rules.parse_reference(dataset)
        _refuse_bad_event_time(content, event_time)
        with self.kernel.catalog.transaction() as connection:
            latest = queries.latest_number(connection, dataset, lock=True)
            if latest != parent:
                raise VersionMovedError(
                    f"dataset {dataset} has moved to version {latest} since version {parent} was read. Add the rows again.",
                    subject=f"dataset:{dataset}",
                )
            aside = self._quarantine(connection, dataset, quarantined) if quarantined else ""
            known = self._same_content(connection, dataset, latest, content)
            if known is not None:
                self.unchanged()
                return msgspec.structs.replace(known, is_unchanged=True)
            version = self._write(
                connection,
                dataset,
                content,
                message=message,
                event_time=event_time,
                suite=suite,
                quarantine=aside,
            )
            subject = f"dataset:{version.ref}"
            event = self.emit(connection, subject=subject, payload=_payload(version))
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
        """Return the profile of a version; computed in one scan the first time, then kept by content."""
        from everloop.data.profiles import profile

        content = self.content(ref, as_of=as_of)
        found = sa.select(dataset_profile.c.profile).where(dataset_profile.c.digest == content.digest)
        with self.kernel.catalog.read() as connection:
            known: Profile | None = connection.execute(found).scalar()
        if known is not None:
            return known
        fresh = profile(Table.open(content, self.kernel.objects))
        with self.kernel.catalog.transaction() as connection:
            if connection.execute(found).scalar() is None:
                connection.execute(dataset_profile.insert().values(digest=fresh.digest, profile=fresh))
        return fresh

    @operation(
        "POST /dataset-versions/{ref}/checks",
        needs="dataset.write",
        emits="dataset.checked",
        cli="data check",
    )
    def check(self, ref: str, *, suite: Suite, as_of: datetime | None = None) -> CheckRun:
        """Run a suite against a version and keep the result; nothing is put aside."""
        from everloop.data.suites import run_suite

        version = self.version(ref, as_of=as_of)
        result = run_suite(suite, self.read(version.ref))
        run = CheckRun(
            id=new_id(),
            dataset=version.dataset,
            version=version.version,
            suite=suite,
            result=result,
            created_at=self.kernel.clock.now(),
        )
        with self.kernel.catalog.transaction() as connection:
            connection.execute(dataset_check.insert().values(msgspec.structs.asdict(run)))
            payload = {"suite": suite.name, "verdict": result.verdict, "check": run.id}
            self.emit(connection, subject=f"dataset:{version.ref}", payload=payload, kind="dataset.checked")
        return run

    @operation(
        "GET /dataset-versions/{ref}/checks",
        needs="dataset.read",
        cli=None,
        cli_reason="shown by `data show`",
    )
    def checks(self, ref: str, *, limit: int = 100) -> builtins.list[CheckRun]:
        """Return the suites run against a version, newest first."""
        version = self.version(ref)
        table = dataset_check
        query = sa.select(table).where(table.c.dataset == version.dataset, table.c.version == version.version)
        with self.kernel.catalog.read() as connection:
            rows = connection.execute(query.order_by(table.c.id.desc()).limit(limit)).mappings()
            return [CheckRun(**row) for row in rows]

    @operation("GET /datasets/{dataset}/quarantine", needs="dataset.read", cli="data quarantine")
    def quarantine(self, dataset: str, *, limit: int = 100) -> builtins.list[DatasetVersion]:
        """Return the quarantine versions of a dataset, newest first; read their rows with `read`."""
        with self.kernel.catalog.read() as connection:
            queries.find_dataset(connection, dataset)
            return builtins.list(
                queries.list_versions(connection, dataset + QUARANTINE, before=0, limit=limit)
            )

    @operation("GET /dataset-diffs", needs="dataset.read", cli="data diff")
    def diff(self, old: str, new: str) -> VersionDiff:
        """Return what changed between two versions, from their manifests alone."""
        return rules.compare(self.version(old), self.content(old), self.version(new), self.content(new))

    def _add_once(
        self,
        name: str,
        rows: Table,
        *,
        suite: Suite | None,
        message: str,
        mode: Literal["replace", "append"],
        event_time: str | None,
    ) -> DatasetVersion:
        parent = self._parent(name)
        before = None
        if mode == "append" and parent is not None:
            before = self.read(parent.ref)
            rules.refuse_other_columns(name, before.columns, rows.columns)
            rows = Table(arrow=_in_shape_of(name, before, rows))
        result, aside = None, None
        if suite is not None:
            result, rows, aside = self._checked(name, suite, rows, before)
        inherited = parent.event_time if parent and parent.event_time in rows.column_names else ""
        return self.commit_version(
            name,
            content=self._stored(rows, before),
            parent=parent.version if parent else 0,
            message=message,
            event_time=inherited if event_time is None else event_time,
            suite=result,
            quarantined=aside,
        )

    def _parent(self, name: str) -> DatasetVersion | None:
        try:
            return self.version(name)
        except queries.DatasetNotFoundError:
            return None

    def _checked(
        self, name: str, suite: Suite, rows: Table, before: Table | None
    ) -> tuple[SuiteResult, Table, QuarantinedRows | None]:
        from everloop.data.suites import REASON, put_aside, run_suite

        result = run_suite(suite, rows, before=before)
        if result.verdict == "failed":
            raise _suite_failed(name, result)
        if all(one.is_passed or one.check.severity != "quarantine" for one in result.results):
            return result, rows, None
        good, bad = put_aside(suite, rows, before=before)
        stored = bad.store(self.kernel.objects).reference
        if stored is None:
            raise AssertionError("a stored table has a reference")
        titles = bad.to_arrow([REASON]).column(0).to_pylist()
        reasons = {one.check.title: 0 for one in result.results if one.check.severity == "quarantine"}
        for text in titles:
            for title in reasons:
                reasons[title] += title in str(text).split("; ")
        return result, good, QuarantinedRows(table=stored, reasons=reasons)

    def _stored(self, rows: Table, before: Table | None) -> TableReference:
        """Store rows and return the content of the version: theirs, or the parent's parts and theirs."""
        reference = rows.reference
        if reference is not None and before is None:
            return msgspec.structs.replace(reference, name="")
        arrow = rows.to_arrow()
        parts = write_parts(arrow, self.kernel.objects)
        if before is None or before.reference is None:
            chunks = chunk_digests([arrow])
            digest = content_digest(rows.columns, chunks, rows.num_rows)
            return TableReference(digest=digest, columns=rows.columns, parts=parts, chunks=chunks)
        whole = before.num_rows // CHUNK_ROWS
        chunks = [*before.reference.chunks[:whole], *chunk_digests([before.tail_rows(), arrow])]
        digest = content_digest(before.columns, chunks, before.num_rows + rows.num_rows)
        return TableReference(
            digest=digest, columns=before.columns, parts=[*before.reference.parts, *parts], chunks=chunks
        )

    def _same_content(
        self, connection: sa.Connection, dataset: str, latest: int, content: TableReference
    ) -> DatasetVersion | None:
        if not latest:
            return None
        row = queries.find_row(connection, rules.Reference(dataset=dataset, version=latest), None)
        return queries.version_of(row) if row.digest == content.digest else None

    def _write(
        self,
        connection: sa.Connection,
        dataset: str,
        content: TableReference,
        *,
        message: str,
        event_time: str = "",
        suite: SuiteResult | None = None,
        quarantine: str = "",
    ) -> DatasetVersion:
        store: ObjectStore = self.kernel.objects  # type: ignore[assignment]  # where the catalog is, the store is the whole one
        store.keep(connection, [Digest(part.digest) for part in content.parts])
        latest = queries.latest_number(connection, dataset, lock=True)
        version = DatasetVersion(
            dataset=dataset,
            version=latest + 1,
            digest=content.digest,
            rows=content.rows,
            size_bytes=content.size_bytes,
            columns=content.columns,
            parent=latest,
            message=message,
            event_time=event_time,
            created_at=self.kernel.clock.now(),
            created_by=current_actor().name,
            suite=suite,
            quarantine=quarantine,
        )
        queries.insert_version(connection, version, content)
        return version

    def _quarantine(self, connection: sa.Connection, dataset: str, rows: QuarantinedRows) -> str:
        """Make the rows put aside the latest version of the quarantine; return its reference."""
        name = dataset + QUARANTINE
        latest = queries.latest_number(connection, name, lock=True)
        known = self._same_content(connection, name, latest, rows.table)
        if known is not None:
            return known.ref
        version = self._write(
            connection, name, rows.table, message=f"rows put aside by the checks of {dataset}"
        )
        payload = {"rows": version.rows, "reasons": rows.reasons}
        self._tell(connection, "dataset.quarantined", f"dataset:{version.ref}", payload)
        return version.ref

    def _tell(self, connection: sa.Connection, kind: str, subject: str, payload: dict[str, object]) -> None:
        self.kernel.events.append(connection, kind=kind, subject=subject, payload=payload)


def _in_shape_of(name: str, before: Table, rows: Table) -> pa.Table:
    """Return the rows in the parent's column order and types.

    Raises:
        SchemaMismatchError: a value does not fit its column's type.
    """
    arrow = rows.to_arrow(before.column_names)
    try:
        return arrow.cast(before.schema)
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError) as error:
        raise rules.SchemaMismatchError(
            f"these rows do not fit dataset {name}: {error}. Convert the column, "
            'or add the rows with mode="replace" to start a version with a new schema.',
            subject=f"dataset:{name}",
        ) from error


def _refuse_bad_event_time(content: TableReference, event_time: str) -> None:
    if not event_time:
        return
    kinds = {column.name: column.type for column in content.columns}
    if not kinds.get(event_time, "").startswith(("timestamp", "date")):
        found = f"is of type {kinds[event_time]}" if event_time in kinds else "is not a column"
        raise EventTimeError(
            f"the event time {event_time!r} {found}. Name a column of times; there are: "
            f"{', '.join(name for name, kind in kinds.items() if kind.startswith(('timestamp', 'date'))) or 'none'}.",
        )


def _suite_failed(name: str, result: SuiteResult) -> SuiteFailedError:
    failed = [one for one in result.results if not one.is_passed and one.check.severity == "fail"]
    reasons = "; ".join(f"{one.check.title}: {one.reason}" for one in failed)
    return SuiteFailedError(
        f"suite {result.suite} refused these rows for dataset {name} ({reasons}). Nothing was written. Mend the source, "
        'or give the check severity "quarantine" to put such rows aside.',
        subject=f"dataset:{name}",
        details=msgspec.to_builtins(result),
    )


def _payload(version: DatasetVersion) -> dict[str, object]:
    return {
        "digest": version.digest,
        "rows": version.rows,
        "parent": version.parent,
        "message": version.message,
    }
