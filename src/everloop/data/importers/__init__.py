"""Reading what other systems keep, without changing it: DVC, Delta Lake, lakeFS; one file each.

Each yields `ImportedVersion` records, oldest first, so that their versions become ours.
"""

from __future__ import annotations

from everloop.data.importers.records import ImportedFile, ImportedVersion

__all__ = ["ImportedFile", "ImportedVersion"]
