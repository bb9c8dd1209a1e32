"""Bring runs from other trackers: from their files alone, without their servers. Tests: tests/unit/importers.

One module a source; each yields `ForeignRun`s, and `bringing.py` writes them, each value once however often it is called.
"""

from everloop.importers.bringing import bring
from everloop.importers.records import ForeignRun, Imported, Loss, Source
from everloop.importers.sources import KINDS, open_source

__all__ = ["KINDS", "ForeignRun", "Imported", "Loss", "Source", "bring", "open_source"]
