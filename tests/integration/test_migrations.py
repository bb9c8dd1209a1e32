"""The scripts make the schema that the tables declare, on both databases; what is older is backed up, what is newer refused."""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import sqlalchemy as sa

import everloop
from everloop.kernel.catalog import migrate, revision
from everloop.kernel.catalog.dump import read_header
from everloop.kernel.catalog.errors import MigrationError, NewerSchemaError
from everloop.kernel.catalog.schema import metadata

if TYPE_CHECKING:
    from tests.conftest import MakeKernel

SOURCE = Path(everloop.__file__).parent
ADDED = """
revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

from alembic import op

def upgrade() -> None:
    op.execute("{statement}")
"""


@pytest.fixture
def next_script(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Make the program one of the future, whose scripts are in a folder of the test; return the newest script."""
    scripts = tmp_path / "migrations"
    (scripts / "versions").mkdir(parents=True)
    for name in ("env.py", "script.py.mako", "versions/0001_first.py"):
        (scripts / name).write_bytes((migrate.SCRIPTS / name).read_bytes())
    monkeypatch.setattr(migrate, "SCRIPTS", scripts)
    monkeypatch.setattr(migrate, "HEAD", "0002")
    script = scripts / "versions" / "0002_next.py"
    script.write_text(ADDED.format(statement="CREATE TABLE of_the_future (id INTEGER)"))
    return script


def open_twice(make_kernel: MakeKernel, home: Path, url: str) -> None:
    make_kernel(home=home, catalog_url=url).close()


def test_the_newest_script_is_the_head() -> None:
    names = sorted(path.name.partition("_")[0] for path in (migrate.SCRIPTS / "versions").glob("0*.py"))

    assert names[-1] == revision.HEAD


def test_the_scripts_make_what_the_tables_declare(make_kernel: MakeKernel, catalog_url: str) -> None:
    from alembic.autogenerate import compare_metadata
    from alembic.migration import MigrationContext

    for tables in SOURCE.glob("**/tables.py"):
        importlib.import_module(".".join(("everloop", *tables.relative_to(SOURCE).with_suffix("").parts)))
    kernel = make_kernel(catalog_url=catalog_url)
    with kernel.catalog.read() as connection:
        context = MigrationContext.configure(
            connection, opts={"compare_type": True, "include_name": _is_ours, "compare_server_default": False}
        )
        differences = compare_metadata(context, metadata)

    assert differences == []


def _is_ours(name: str | None, kind: str, _parents: Any) -> bool:
    return not (kind == "table" and name == revision.VERSION_TABLE)


def test_a_migration_is_applied_on_start_after_a_backup(
    make_kernel: MakeKernel, tmp_path: Path, catalog_url: str, request: pytest.FixtureRequest
) -> None:
    old = make_kernel(home=tmp_path / "home", catalog_url=catalog_url)
    with old.catalog.transaction() as connection:
        old.events.append(connection, kind="test.happened", subject="test:1")
    old.close()
    request.getfixturevalue("next_script")

    new = make_kernel(home=tmp_path / "home", catalog_url=catalog_url)

    with new.catalog.read() as connection:
        assert sa.inspect(connection).has_table("of_the_future")
    assert [event.kind for event in new.events.read()] == ["test.happened"]
    backup = tmp_path / "home" / "backups" / "before-0002-from-0001.zip"
    assert read_header(backup).rows["event"] == 1
    assert read_header(backup).revision == "0001"


def test_a_migration_that_fails_changes_nothing_and_names_the_backup(
    make_kernel: MakeKernel, tmp_path: Path, catalog_url: str, request: pytest.FixtureRequest
) -> None:
    open_twice(make_kernel, tmp_path / "home", catalog_url)
    script: Path = request.getfixturevalue("next_script")
    works = script.read_text()
    both = 'CREATE TABLE of_the_future (id INTEGER)")\n    op.execute("INSERT INTO nowhere VALUES (1)'
    script.write_text(ADDED.format(statement=both))

    with pytest.raises(MigrationError, match=r"Nothing was changed.*before-0002-from-0001.zip"):
        make_kernel(home=tmp_path / "home", catalog_url=catalog_url)

    script.write_text(works)  # CREATE TABLE succeeds, so the failed one left none
    make_kernel(home=tmp_path / "home", catalog_url=catalog_url)


def test_a_database_of_a_newer_program_is_refused(
    make_kernel: MakeKernel, tmp_path: Path, catalog_url: str
) -> None:
    kernel = make_kernel(home=tmp_path / "home", catalog_url=catalog_url)
    with kernel.catalog.transaction() as connection:
        connection.execute(sa.text(f"UPDATE {revision.VERSION_TABLE} SET version_num = '9999'"))
    kernel.close()

    with pytest.raises(NewerSchemaError, match="9999") as caught:
        make_kernel(home=tmp_path / "home", catalog_url=catalog_url)

    assert caught.value.details == {"found": "9999", "known": revision.HEAD}
