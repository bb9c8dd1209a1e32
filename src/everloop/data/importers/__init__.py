"""Reading what other systems keep, without changing it: DVC, Delta Lake, lakeFS; one file each.

Each yields `ImportedVersion` records, oldest first, so that their versions become ours. Tests:
tests/unit/data/importers, tests/integration/test_importers.py.
"""

from __future__ import annotations

from everloop.data.importers.records import ImportedFile, ImportedVersion

__all__ = ["ImportedFile", "ImportedVersion"]
