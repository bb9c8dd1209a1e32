"""Content-addressed objects: immutable bytes named by their digest, in a folder, S3 or any obstore URL."""

from __future__ import annotations

from typing import TYPE_CHECKING

from everloop.kernel.objects.protocol import Content, Objects
from everloop.kernel.objects.store import ObjectStore

if TYPE_CHECKING:
    from everloop.kernel.catalog import Catalog
    from everloop.kernel.settings import Settings

__all__ = ["Content", "ObjectStore", "Objects", "open_objects"]


def open_objects(catalog: Catalog, settings: Settings) -> ObjectStore:
    """Open the object store that the settings name."""
    return ObjectStore(
        catalog,
        settings.objects_address,
        cache=settings.home / "cache",
        options=settings.objects_options,
        verify="small" if settings.verify_reads else "never",
        cache_limit=settings.cache_size_bytes,
    )
