"""Write migration 0001 from the tables of all stages; until the first release there is one migration.

    python scripts/make_migration.py

After the first release a new script is added beside it instead. The test tests/integration/test_migrations.py compares
the scripts with the tables.
"""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import Literal

import sqlalchemy as sa
from alembic.autogenerate import produce_migrations, render_python_code
from alembic.migration import MigrationContext

from everloop.kernel.catalog.schema import Json, TimeType, metadata

ROOT = Path(__file__).resolve().parent.parent / "src"
TARGET = ROOT / "everloop/kernel/catalog/migrations/versions/0001_first.py"
HEAD = '''"""The first schema: the tables of every stage."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make every table."""
'''


def render_type(kind: str, value: object, _context: object) -> str | Literal[False]:
    """Write our column types as the database types beneath them."""
    if kind == "type" and isinstance(value, TimeType):
        return "sa.BigInteger()"
    if kind == "type" and isinstance(value, Json):
        return "sa.Text()"
    return False


def main() -> None:
    """Write the script."""
    for tables in sorted((ROOT / "everloop").glob("**/tables.py")):
        importlib.import_module(".".join(tables.relative_to(ROOT).with_suffix("").parts))
    with sa.create_engine("sqlite://").connect() as connection:
        context = MigrationContext.configure(
            connection, opts={"target_metadata": metadata, "render_item": render_type}
        )
        upgrade = produce_migrations(context, metadata).upgrade_ops
        if upgrade is None:
            raise SystemExit("no tables")
        body = render_python_code(upgrade, render_item=render_type)
    TARGET.write_text(HEAD + "    " + "\n".join(line.rstrip() for line in body.splitlines()) + "\n")
    print(f"{TARGET.name}: {len(metadata.tables)} tables")


if __name__ == "__main__":
    main()
