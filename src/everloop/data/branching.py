"""The verbs of branches and tags. Tests: tests/unit/data/test_branching.py."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec
import sqlalchemy as sa

from everloop.core.actors import current_actor
from everloop.core.errors import ConflictError, InvalidInputError
from everloop.data import queries, rules
from everloop.data.check_kinds import refuse_unkept
from everloop.data.checking import run_on
from everloop.data.committed import VersionMovedError
from everloop.data.records import Dataset, DatasetVersion, Ref, Suite
from everloop.data.tables import dataset as dataset_table
from everloop.kernel.operations import Service, operation

if TYPE_CHECKING:
    from everloop.data.records import RefKind


class RefExistsError(ConflictError):
    """A branch or tag of this name is there already."""

    code = "data.ref-exists"


class NotAncestorError(ConflictError):
    """A branch does not hold what `main` holds, so `main` cannot move to it."""

    code = "data.not-ancestor"


class PublishRefusedError(InvalidInputError):
    """The dataset's suite failed on what was to be published; `main` did not move."""

    code = "data.publish-refused"


class Branching(Service):
    """Branches move with each version that is added to them; tags never move."""

    @operation("GET /datasets/{dataset}/refs", needs="dataset.read", cli="data refs")
    def refs(self, dataset: str) -> list[Ref]:
        """Return the branches and tags of a dataset by name."""
        with self.kernel.catalog.read() as connection:
            queries.find_dataset(connection, dataset)
            return queries.list_refs(connection, dataset)

    @operation(
        "POST /datasets/{dataset}/branches",
        needs="dataset.write",
        emits="dataset.branched",
        cli="data branch",
    )
    def branch(self, dataset: str, name: str, *, at: str = rules.MAIN) -> Ref:
        """Make a branch at a version, `v3`, `main~1`, a date or another branch; nothing is copied.

        Raises:
            RefExistsError: there is one of this name.
        """
        return self._make(dataset, name, kind="branch", at=at)

    @operation("POST /datasets/{dataset}/tags", needs="dataset.write", emits="dataset.tagged", cli="data tag")
    def tag(self, dataset: str, name: str, *, at: str = rules.MAIN) -> Ref:
        """Give a version a name that never moves.

        Raises:
            RefExistsError: there is one of this name.
        """
        return self._make(dataset, name, kind="tag", at=at)

    @operation(
        "PUT /datasets/{dataset}/suite", needs="dataset.write", emits="dataset.suite_set", cli="data suite"
    )
    def set_suite(self, dataset: str, *, suite: Suite) -> Dataset:
        """Set what a version must pass before `publish` moves `main` to it.

        Raises:
            InvalidCheckError: a check cannot run as it is written, or is a function, which is not kept with a dataset.
        """
        refuse_unkept(suite)
        with self.kernel.catalog.transaction() as connection:
            found = queries.find_dataset(connection, dataset)
            at = dataset_table.c.name == dataset
            connection.execute(sa.update(dataset_table).where(at).values(suite=suite))
            payload = {"suite": suite.name, "checks": len(suite.checks)}
            self.emit(connection, subject=f"dataset:{dataset}", payload=payload)
        return msgspec.structs.replace(found, suite=suite)

    @operation(
        "GET /datasets/{dataset}/merge-bases",
        needs="dataset.read",
        cli=None,
        cli_reason="asked by `data merge`",
    )
    def merge_base(self, dataset: str, one: str, other: str) -> DatasetVersion:
        """Return the newest version that two versions both came from, each a branch, `v3`, `main~1`.

        Raises:
            VersionNotFoundError: they have nothing in common.
        """
        with self.kernel.catalog.read() as connection:
            rows = [
                queries.find_row(connection, rules.parse_reference(f"{dataset}@{which}"), None)
                for which in (one, other)
            ]
            found = queries.merge_base(connection, dataset, rows[0].version, rows[1].version)
            if not found:
                raise queries.VersionNotFoundError(
                    f"{one} and {other} of dataset {dataset} have no version in common, so there is nothing to merge by. Add the "
                    "rows of one to the other.",
                    subject=f"dataset:{dataset}",
                )
            at = rules.Reference(dataset=dataset, version=found)
            return queries.version_of(queries.find_row(connection, at, None))

    @operation(
        "POST /datasets/{dataset}/publications",
        needs="dataset.publish",
        emits="dataset.published",
        cli="data publish",
    )
    def publish(self, dataset: str, *, branch: str) -> DatasetVersion:
        """Move `main` to the latest version of a branch, once the dataset's suite has passed on it.

        Raises:
            PublishRefusedError: a check of severity `fail` failed.
            NotAncestorError: `main` has versions that the branch does not have.
            VersionMovedError: `main` or the branch moved while the suite ran.
        """
        with self.kernel.catalog.read() as connection:
            found = queries.find_dataset(connection, dataset)
            version = queries.version_of(queries.find_row(connection, _at(dataset, branch), None))
            main = queries.head_number(connection, dataset, rules.MAIN)
            _refuse_other_line(connection, version, main, branch)
        verdict = "none" if found.suite is None else self._judged(version, found.suite)
        with self.kernel.catalog.transaction() as connection:
            queries.latest_number(connection, dataset, lock=True)
            heads = [queries.head_number(connection, dataset, name) for name in (rules.MAIN, branch)]
            if heads != [main, version.version]:
                raise VersionMovedError(
                    f"dataset {dataset} moved while {branch} was checked. Publish again.",
                    subject=f"dataset:{dataset}",
                )
            if main == version.version:
                self.unchanged()
                return version
            queries.set_ref(connection, self._ref(dataset, rules.MAIN, "branch", version.version))
            payload = {"branch": branch, "from": main, "suite": verdict}
            self.emit(connection, subject=f"dataset:{version.ref}", payload=payload)
        return version

    def _make(self, dataset: str, name: str, *, kind: RefKind, at: str) -> Ref:
        rules.parse_ref_name(name)
        with self.kernel.catalog.transaction() as connection:
            queries.latest_number(connection, dataset, lock=True)
            row = queries.find_row(connection, rules.parse_reference(f"{dataset}@{at}"), None)
            known = queries.find_ref(connection, dataset, name)
            if known is not None:
                raise RefExistsError(
                    f"dataset {dataset} has a {known.kind} {name} already, at version {known.version}. Choose another name.",
                    subject=f"dataset:{dataset}",
                )
            made = self._ref(dataset, name, kind, row.version)
            queries.set_ref(connection, made)
            self.emit(
                connection, subject=f"dataset:{dataset}@v{row.version}", payload={"name": name, "kind": kind}
            )
        return made

    def _ref(self, dataset: str, name: str, kind: RefKind, version: int) -> Ref:
        now, actor = self.kernel.clock.now(), current_actor().name
        return Ref(dataset=dataset, name=name, kind=kind, version=version, moved_at=now, moved_by=actor)

    def _judged(self, version: DatasetVersion, suite: Suite) -> str:
        _, result = run_on(version, suite, self.kernel)
        if result.verdict == "failed":
            failed = "; ".join(
                f"{one.check.title}: {one.reason}"
                for one in result.results
                if not one.is_passed and one.check.severity == "fail"
            )
            raise PublishRefusedError(
                f"{version.ref} did not pass suite {suite.name} ({failed}), so main stays where it is. Mend the branch and "
                "publish again.",
                subject=f"dataset:{version.ref}",
                details=msgspec.to_builtins(result),
            )
        return result.verdict


def _at(dataset: str, branch: str) -> rules.Reference:
    return rules.Reference(dataset=dataset, ref=rules.parse_ref_name(branch))


def _refuse_other_line(connection: sa.Connection, version: DatasetVersion, main: int, branch: str) -> None:
    """Refuse a version that does not come after `main`'s."""
    if main not in queries.ancestors(connection, version.dataset, version.version):
        raise NotAncestorError(
            f"main of dataset {version.dataset} is at version {main}, which branch {branch} does not come after. Merge main "
            f"into it first: `everloop data merge {version.dataset} main --into {branch}`.",
            subject=f"dataset:{version.dataset}",
        )
