"""The verbs of retention: delete into the trash, bring back, rules of what stays, quotas.

Tests: tests/unit/data/retention, tests/property/test_retention.py, tests/chaos/test_retention.py.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from everloop.core.actors import current_actor
from everloop.core.durations import parse_duration
from everloop.core.errors import ConflictError, NotFoundError
from everloop.data import queries as datasets
from everloop.data import rules
from everloop.data.retention import queries
from everloop.data.retention import rules as decide
from everloop.data.retention.records import (
    GoingVersion,
    KeptVersion,
    Quota,
    RetentionPlan,
    RetentionRule,
    TrashedVersion,
    Usage,
)
from everloop.kernel.operations import Service, operation

if TYPE_CHECKING:
    from datetime import datetime

    import sqlalchemy as sa

    from everloop.data.records import DatasetVersion
    from everloop.kernel.operations import Kernel

GRACE = "14d"
_NAMED = 5


class VersionInUseError(ConflictError):
    """A version cannot be deleted because a branch, tag, run, model or feature view reaches it."""

    code = "data.version-in-use"


class NotInTrashError(NotFoundError):
    """There is nothing of this name in the trash."""

    code = "data.not-in-trash"


class RefInUseError(ConflictError):
    """The branch `main` stays as long as its dataset."""

    code = "data.ref-in-use"


class Retaining(Service):
    """Delete versions with a way back, by hand or by rule; what is reached stays."""

    @operation(
        "DELETE /dataset-versions/{ref}", needs="dataset.delete", emits="dataset.trashed", cli="data delete"
    )
    def delete(self, ref: str, *, grace: str = GRACE, reason: str = "") -> TrashedVersion:
        """Move a version into the trash: it is hidden, can be brought back until its grace ends, and is then purged by `gc`.

        Args:
            ref: the version, `flights@v3`.
            grace: how long it can be brought back.
            reason: why, for people; it stays in the event log.

        Raises:
            VersionInUseError: a branch or tag stands at it, or a run, a model or a feature view needs it.
        """
        until = self.kernel.clock.now() + parse_duration(grace)
        with self.kernel.catalog.transaction(durable=True) as connection:
            row = datasets.find_row(connection, rules.parse_reference(ref), None)
            datasets.latest_number(connection, row.dataset, lock=True)
            _refuse_reached(
                row.dataset, {row.version: queries.reached(connection, row.dataset).get(row.version, [])}
            )
            return self._trash(connection, row.dataset, row.version, until=until, reason=reason)

    @operation(
        "DELETE /datasets/{dataset}",
        needs="dataset.delete",
        emits="dataset.trashed",
        cli="data delete-dataset",
    )
    def delete_dataset(self, dataset: str, *, grace: str = GRACE, reason: str = "") -> TrashedVersion:
        """Move a dataset with all versions, branches and tags into the trash; its name is not given again.

        Raises:
            VersionInUseError: a run, a model or a feature view needs a version of it.
        """
        until = self.kernel.clock.now() + parse_duration(grace)
        with self.kernel.catalog.transaction(durable=True) as connection:
            datasets.find_dataset(connection, dataset)
            datasets.latest_number(connection, dataset, lock=True)
            _refuse_reached(dataset, queries.reached(connection, dataset, refs=False))
            return self._trash(connection, dataset, 0, until=until, reason=reason)

    @operation(
        "POST /trash/{ref}/restorations", needs="dataset.delete", emits="dataset.restored", cli="data restore"
    )
    def restore(self, ref: str) -> TrashedVersion:
        """Bring a version, `flights@v3`, or a dataset back from the trash, as it was.

        Raises:
            NotInTrashError: it is not there, or was purged.
        """
        reference = rules.parse_reference(ref)
        with self.kernel.catalog.transaction(durable=True) as connection:
            queries.hold(connection, reference.dataset)
            row = queries.find_trash(connection, reference.dataset, reference.version)
            if row is None:
                raise NotInTrashError(
                    f"{ref} is not in the trash. `everloop data trash` lists what can be brought back; name versions as flights@v3.",
                    subject=f"dataset:{ref}",
                )
            found = queries.trashed(row)
            queries.take_out(connection, row.dataset, row.version)
            self.emit(
                connection, subject=f"dataset:{found.ref}", payload={"trashed_at": row.trashed_at.isoformat()}
            )
        return found

    @operation("GET /trash", needs="dataset.read", cli="data trash")
    def trash(self) -> list[TrashedVersion]:
        """Return what can be brought back, oldest first."""
        with self.kernel.catalog.read() as connection:
            return [queries.trashed(row) for row in queries.list_trash(connection)]

    @operation(
        "DELETE /datasets/{dataset}/refs/{name}",
        needs="dataset.delete",
        emits="dataset.ref_removed",
        cli="data remove-ref",
    )
    def remove_ref(self, dataset: str, name: str) -> None:
        """Remove a branch or a tag; versions stay, but nothing of this name holds them any more.

        Raises:
            RefNotFoundError: there is none of this name.
            RefInUseError: it is `main`.
        """
        if name == rules.MAIN:
            raise RefInUseError(
                f"main of dataset {dataset} stays. Move it with `revert` or `publish`, or delete the dataset.",
                subject=f"dataset:{dataset}",
            )
        with self.kernel.catalog.transaction() as connection:
            datasets.latest_number(connection, dataset, lock=True)
            known = datasets.find_ref(connection, dataset, name)
            if known is None:
                datasets.find_row(connection, rules.Reference(dataset=dataset, ref=name), None)
                raise AssertionError  # find_row raises
            datasets.drop_ref(connection, dataset, name)
            payload = {"name": name, "kind": known.kind}
            self.emit(connection, subject=f"dataset:{dataset}@v{known.version}", payload=payload)

    @operation(
        "PUT /datasets/{dataset}/retention",
        needs="dataset.delete",
        emits="dataset.retention_set",
        cli="data retain",
    )
    def retain(self, dataset: str, *, rule: RetentionRule) -> RetentionRule:
        """Set which versions of a dataset stay, or with `*` of every dataset without a rule of its own.

        `gc` moves the others into the trash; `retention_plan` shows which.
        """
        with self.kernel.catalog.transaction() as connection:
            if dataset != queries.EVERY:
                datasets.find_dataset(connection, dataset)
            queries.set_rule(connection, dataset, rule)
            self.emit(connection, subject=f"dataset:{dataset}", payload=rule)
        return rule

    @operation("GET /datasets/{dataset}/retention", needs="dataset.read", cli="data retention-plan")
    def retention_plan(self, dataset: str, *, rule: RetentionRule | None = None) -> RetentionPlan:
        """Return which versions the rule in force, or another, lets go, why each other one stays, and how many bytes come free."""
        with self.kernel.catalog.read() as connection:
            datasets.find_dataset(connection, dataset)
        return plan(self.kernel, dataset, rule)

    @operation(
        "PUT /datasets/{dataset}/quota", needs="dataset.delete", emits="dataset.quota_set", cli="data quota"
    )
    def set_quota(self, dataset: str, *, quota: Quota) -> Usage:
        """Set how many stored bytes a dataset may take, or with `*` all datasets together.

        What is there stays; a version that would pass `refuse_bytes` is refused when it is committed.
        """
        with self.kernel.catalog.transaction() as connection:
            if dataset != queries.EVERY:
                datasets.find_dataset(connection, dataset)
            queries.set_quota(connection, dataset, quota)
            self.emit(connection, subject=f"dataset:{dataset}", payload=quota)
            return Usage(name=dataset, used_bytes=queries.used_bytes(connection, dataset), quota=quota)

    @operation("GET /datasets/{dataset}/usage", needs="dataset.read", cli="data quota")
    def usage(self, dataset: str) -> Usage:
        """Return the stored bytes of a dataset, or with `*` of all together, and their quota."""
        with self.kernel.catalog.read() as connection:
            if dataset != queries.EVERY:
                datasets.find_dataset(connection, dataset)
            used = queries.used_bytes(connection, dataset)
            return Usage(name=dataset, used_bytes=used, quota=queries.find_quota(connection, dataset))

    def _trash(
        self, connection: sa.Connection, dataset: str, version: int, *, until: datetime, reason: str
    ) -> TrashedVersion:
        values = {
            "dataset": dataset,
            "version": version,
            "trashed_at": self.kernel.clock.now(),
            "trashed_by": current_actor().name,
            "until": until,
            "reason": reason,
        }
        found = queries.put_into_trash(connection, values)
        payload = {"until": found.until.isoformat(), "reason": reason}
        self.emit(connection, subject=f"dataset:{found.ref}", payload=payload)
        return found


def plan(kernel: Kernel, dataset: str, rule: RetentionRule | None = None) -> RetentionPlan:
    """Return what a rule, by default the one in force, would do to a dataset."""
    from everloop.data.retention.purging import objects_of, size_of

    with kernel.catalog.read() as connection:
        chosen = rule or queries.find_rule(connection, dataset)
        versions = queries.live_versions(connection, dataset)
        reasons = _reasons(connection, dataset, versions, chosen, kernel)
        rows = queries.unpurged_versions(connection)
    going = [version for version in versions if not reasons[version.version]]
    numbers = {version.version for version in going}
    freed = 0
    if going:
        doomed = [row for row in rows if row.dataset == dataset and row.version in numbers]
        left = [row for row in rows if not (row.dataset == dataset and row.version in numbers)]
        freed_objects = set().union(*(objects_of(row, kernel.objects) for row in doomed))
        for row in left:
            freed_objects -= objects_of(row, kernel.objects)
        with kernel.catalog.read() as connection:
            freed = size_of(connection, freed_objects)
    return RetentionPlan(
        dataset=dataset,
        rule=chosen,
        going=[
            GoingVersion(ref=one.ref, created_at=one.created_at, rows=one.rows, files=one.files)
            for one in going
        ],
        kept=[KeptVersion(ref=one.ref, why=reasons[one.version]) for one in versions if reasons[one.version]],
        freed_bytes=freed,
    )


def apply_rules(kernel: Kernel, *, dry_run: bool) -> list[str]:
    """Move into the trash what the rules let go; return it, or in a dry run what would be moved."""
    with kernel.catalog.read() as connection:
        names = queries.dataset_names(connection)
        chosen = {name: queries.find_rule(connection, name) for name in names}
    found: list[str] = []
    for name, rule in chosen.items():
        if rule.last is None and rule.days is None:
            continue
        if dry_run:
            with kernel.catalog.read() as connection:
                found += [version.ref for version in _going(kernel, connection, name, rule)]
            continue
        with kernel.catalog.transaction(durable=True) as connection:
            queries.hold(connection, name)
            going = _going(kernel, connection, name, rule)
            _trash_all(kernel, connection, going)
        found += [version.ref for version in going]
    return found


def _going(kernel: Kernel, connection: sa.Connection, name: str, rule: RetentionRule) -> list[DatasetVersion]:
    """Return the versions that a rule lets go; of a deleted dataset none, they go with it."""
    if queries.find_trash(connection, name, 0) is not None:
        return []
    versions = queries.live_versions(connection, name)
    reasons = _reasons(connection, name, versions, rule, kernel)
    return [version for version in versions if not reasons[version.version]]


def _trash_all(kernel: Kernel, connection: sa.Connection, going: list[DatasetVersion]) -> None:
    now = kernel.clock.now()
    until = now + parse_duration(GRACE)
    for version in going:
        values = {
            "dataset": version.dataset,
            "version": version.version,
            "trashed_at": now,
            "trashed_by": current_actor().name,
            "until": until,
            "reason": "retention rule",
        }
        queries.put_into_trash(connection, values)
        payload = {"until": until.isoformat(), "reason": "retention rule"}
        kernel.events.append(
            connection, kind="dataset.trashed", subject=f"dataset:{version.ref}", payload=payload
        )


def _reasons(
    connection: sa.Connection,
    dataset: str,
    versions: list[DatasetVersion],
    rule: RetentionRule,
    kernel: Kernel,
) -> dict[int, list[str]]:
    facts = [queries.facts_of(version) for version in versions]
    return decide.reasons_to_keep(facts, rule, queries.reached(connection, dataset), now=kernel.clock.now())


def _refuse_reached(dataset: str, reached: dict[int, list[str]]) -> None:
    found = {number: why for number, why in sorted(reached.items()) if why}
    if not found:
        return
    shown = "; ".join(
        f"{dataset}@v{number}: {', '.join(why[:_NAMED])}{' and others' * (len(why) > _NAMED)}"
        for number, why in list(found.items())[:_NAMED]
    )
    raise VersionInUseError(
        f"this cannot be deleted, it is in use ({shown}). Tags and branches go with `everloop data remove-ref`; what a run, a model or "
        "features need stays.",
        subject=f"dataset:{dataset}",
        details={"versions": {str(number): why for number, why in found.items()}},
    )
