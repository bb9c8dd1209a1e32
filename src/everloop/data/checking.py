"""The verbs of checks. Tests: tests/unit/data/test_checking.py, tests/integration/test_data_cli.py."""

from __future__ import annotations

from datetime import datetime
from itertools import islice
from typing import TYPE_CHECKING

import msgspec
import sqlalchemy as sa

from everloop.core.digests import Digest
from everloop.core.ids import new_id
from everloop.data import queries, rules
from everloop.data.manifests import decode_manifest
from everloop.data.records import CheckRun, DatasetVersion, Suite, SuiteResult
from everloop.data.tables import dataset_check
from everloop.kernel.operations import Service, operation

if TYPE_CHECKING:
    from everloop.data.suite_formats import TranslatedSuite
    from everloop.data.table import Table
    from everloop.kernel.operations import Kernel


class Checking(Service):
    """Run suites against versions that are there already."""

    @operation(
        "POST /dataset-versions/{ref}/checks",
        needs="dataset.write",
        emits="dataset.checked",
        cli="data check",
    )
    def check(self, ref: str, *, suite: Suite, as_of: datetime | None = None) -> CheckRun:
        """Run a suite against a version and keep the result; nothing is put aside.

        Other datasets that it names are looked up now; the suite that is kept names their versions.
        """
        version = _version(self.kernel, ref, as_of)
        pinned, result = run_on(version, suite, self.kernel)
        run = CheckRun(
            id=new_id(),
            dataset=version.dataset,
            version=version.version,
            suite=pinned,
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
    def checks(self, ref: str, *, limit: int = 100) -> list[CheckRun]:
        """Return the suites run against a version, newest first."""
        version = _version(self.kernel, ref)
        table = dataset_check
        query = sa.select(table).where(table.c.dataset == version.dataset, table.c.version == version.version)
        with self.kernel.catalog.read() as connection:
            rows = connection.execute(query.order_by(table.c.id.desc()).limit(limit)).mappings()
            return [CheckRun(**row) for row in rows]

    def translate_suite(self, source: object, *, name: str = "") -> TranslatedSuite:
        """Return a suite of Great Expectations, Pandera or TFDV as one of ours, and what could not be translated.

        Args:
            source: a file, or an object; see `everloop.data.suite_formats.translate_suite`. It is read in this process.
            name: of the suite; by default the source's.
        """
        from everloop.data.suite_formats import translate_suite

        return translate_suite(source, name=name)

    @operation("GET /dataset-versions/{ref}/suggested-suite", needs="dataset.read", cli="data suggest")
    def infer_suite(self, ref: str, *, history: int = 20, as_of: datetime | None = None) -> Suite:
        """Return the suite that a version suggests, from its profile and those of up to `history` versions it came from.

        No row is read, but of versions that were never profiled. See `everloop.data.inference` for how bounds are learned: five
        versions or more teach bounds of means, quantiles, missing values and rows.
        """
        from everloop.data.inference import infer_suite
        from everloop.data.statistics import profile_of

        version = _version(self.kernel, ref, as_of)
        with self.kernel.catalog.read() as connection:
            gone = queries.gone_numbers(connection, version.dataset)
            line = queries.ancestors(connection, version.dataset, version.version)
            numbers = list(islice((number for number in line if number not in gone), max(history, 1)))
        refs = [f"{version.dataset}@v{number}" for number in numbers]
        tables = [_table(_version(self.kernel, one), self.kernel) for one in refs]
        profiles = [
            profile_of(table.reference, self.kernel) for table in tables if table.reference is not None
        ]
        return infer_suite(version.dataset, profiles, keys=version.keys)


def run_on(version: DatasetVersion, suite: Suite, kernel: Kernel) -> tuple[Suite, SuiteResult]:
    """Return the suite with other datasets named by their versions, and what it finds in a version."""
    from everloop.data.suites import pin_references, run_suite

    pinned, tables = pin_references(suite, lambda ref: open_version(kernel, ref))
    rows = _table(version, kernel)
    return pinned, run_suite(pinned, rows, tables=tables, now=kernel.clock.now())


def open_version(kernel: Kernel, ref: str) -> Table:
    """Return the table of a version, named by its reference."""
    return _table(_version(kernel, ref), kernel)


def _version(kernel: Kernel, ref: str, as_of: datetime | None = None) -> DatasetVersion:
    with kernel.catalog.read() as connection:
        return queries.version_of(queries.find_row(connection, rules.parse_reference(ref), as_of))


def _table(version: DatasetVersion, kernel: Kernel) -> Table:
    from everloop.data.table import Table

    content = decode_manifest(kernel.objects.get(Digest(version.manifest)))
    return Table.open(msgspec.structs.replace(content, name=version.ref), kernel.objects)
