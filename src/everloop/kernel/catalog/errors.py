"""Errors of the catalog, and the translation of the database's own. Tests: tests/unit/kernel/test_catalog.py."""

from __future__ import annotations

from typing import TYPE_CHECKING

from everloop.core.errors import EverloopError, UnavailableError

if TYPE_CHECKING:
    from sqlalchemy.exc import DBAPIError


class NewerSchemaError(EverloopError):
    """The database was written by a newer Everloop."""

    code = "catalog.newer-schema"
    status = 409


class MigrationError(EverloopError):
    """A migration failed; the database is as it was, and its backup is named."""

    code = "catalog.migration-failed"
    status = 500


class DiskFullError(EverloopError):
    """The disk of the database is full; nothing of the transaction was written."""

    code = "catalog.disk-full"
    status = 507


class CatalogUnavailableError(UnavailableError):
    """The database does not answer, or is held by another writer for too long."""

    code = "catalog.unavailable"


class CatalogClosedError(UnavailableError):
    """The app was closed, and is asked for something."""

    code = "catalog.closed"

    def __init__(self, place: str) -> None:
        super().__init__(
            f"the catalog {place} was closed. Open the home again: everloop.connect().", subject=place
        )


class DamagedCatalogError(EverloopError):
    """The file is not a database, or its pages are damaged."""

    code = "catalog.damaged"
    status = 500


def translate(error: DBAPIError, place: str) -> EverloopError | None:
    """Return our error for a database error that a user can act on, or None for a fault of ours."""
    text = str(error.orig).lower()
    if "disk is full" in text or "no space left" in text or "disk i/o error" in text:
        return DiskFullError(
            f"the disk of the catalog {place} is full; nothing was written. Free space (`everloop gc --dry-run` shows what could go), "
            "then repeat the command.",
            subject=place,
        )
    if "database is locked" in text or "lock timeout" in text:
        return CatalogUnavailableError(
            f"another process has held the catalog {place} for 30 seconds. Stop it or wait, then repeat the command.",
            subject=place,
        )
    if "not a database" in text or "malformed" in text:
        return DamagedCatalogError(
            f"{place} is not a readable catalog. Put a backup in its place with `everloop restore`.",
            subject=place,
        )
    if "connection refused" in text or "could not connect" in text or "unable to open" in text:
        return CatalogUnavailableError(
            f"the catalog {place} cannot be opened: {str(error.orig).strip()}. Check that it runs and that the address is right.",
            subject=place,
        )
    return None
