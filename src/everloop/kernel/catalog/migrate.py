"""Bring a database to the schema of this program, after a backup; refuse one that is newer.

Migrations are Alembic scripts in `migrations/versions`, the same for both databases. The version table has our own name,
because other tools of the field use Alembic's default in shared databases. Tests: tests/integration/test_migrations.py.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import sqlalchemy as sa

from everloop.kernel.catalog.dump import dump_tables
from everloop.kernel.catalog.errors import MigrationError, NewerSchemaError
from everloop.kernel.catalog.revision import HEAD, VERSION_TABLE

if TYPE_CHECKING:
    from alembic.config import Config

SCRIPTS = Path(__file__).parent / "migrations"
# One lock for all processes that may start at once on one PostgreSQL database.
_ADVISORY_LOCK = 0x45564C50


def bring_up_to_date(engine: sa.Engine, place: str, backups: Path | None) -> None:
    """Migrate the database to `HEAD`; do nothing when it is there.

    Raises:
        NewerSchemaError: the database was written by a newer program.
        MigrationError: a script failed; the transaction was rolled back.
    """
    if schema_version(engine) == HEAD:
        return
    with engine.begin() as connection:
        if engine.dialect.name == "postgresql":
            connection.execute(sa.text("SELECT pg_advisory_xact_lock(:key)"), {"key": _ADVISORY_LOCK})
        found = _read_version(connection)
        if found == HEAD:
            return
        _refuse_newer(found, place)
        backup = _back_up(connection, backups, found) if found else None
        _run_scripts(connection, place, backup)


def schema_version(engine: sa.Engine) -> str | None:
    """Return the revision the database is at; None for an empty one."""
    with engine.connect() as connection:
        return _read_version(connection)


def _read_version(connection: sa.Connection) -> str | None:
    if not sa.inspect(connection).has_table(VERSION_TABLE):
        return None
    return connection.execute(sa.text(f"SELECT version_num FROM {VERSION_TABLE}")).scalar()


def _refuse_newer(found: str | None, place: str) -> None:
    if found is None or _knows(found):
        return
    raise NewerSchemaError(
        f"the catalog {place} is at schema {found}, this Everloop knows up to {HEAD}. Install the newer Everloop, "
        "or restore a backup made before the upgrade with `everloop restore`.",
        subject=place,
        details={"found": found, "known": HEAD},
    )


def _knows(revision: str) -> bool:
    return any((SCRIPTS / "versions").glob(f"{revision}_*.py"))


def _back_up(connection: sa.Connection, backups: Path | None, found: str) -> Path | None:
    if backups is None:
        return None
    target = backups / f"before-{HEAD}-from-{found}.zip"
    backups.mkdir(parents=True, exist_ok=True)
    dump_tables(connection, target, revision=found)
    return target


def _run_scripts(connection: sa.Connection, place: str, backup: Path | None) -> None:
    from alembic import command
    from alembic.util import CommandError

    try:
        command.upgrade(alembic_config(connection), "head")
    except (CommandError, sa.exc.SQLAlchemyError) as error:
        kept = f" A backup is in {backup}." if backup else ""
        raise MigrationError(
            f"the catalog {place} could not be brought to schema {HEAD}: {error}. Nothing was changed.{kept}",
            subject=place,
        ) from error


def alembic_config(connection: sa.Connection) -> Config:
    """Return Alembic's settings bound to an open connection."""
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(SCRIPTS))
    config.attributes["connection"] = connection
    return config
