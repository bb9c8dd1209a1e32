"""The metadata database: engine, transactions, migrations; SQLite and PostgreSQL from one schema."""

from everloop.kernel.catalog.database import Catalog

__all__ = ["Catalog"]
