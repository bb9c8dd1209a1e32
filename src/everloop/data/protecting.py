"""The verbs of personal data: what a version holds, and versions in which it is masked.

Tests: tests/unit/data/personal/test_protecting.py.
"""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING

import msgspec

from everloop.data.personal import queries
from everloop.data.personal.records import PersonalReport
from everloop.data.table import Table
from everloop.kernel.operations import Service, operation

if TYPE_CHECKING:
    from collections.abc import Callable

    from everloop.data.records import TableReference


class Protecting(Service):
    """Find personal data, and keep it out of what others see."""

    # Verb of datasets, which the stage has.
    content: Callable[..., TableReference]

    @operation("GET /dataset-versions/{ref}/personal", needs="dataset.read", cli="data personal")
    def personal(self, ref: str, *, as_of: datetime | None = None) -> PersonalReport:
        """Return the personal data found in a table version: columns, kinds, shares, shapes of values, never values.

        Looked for on the first call for a content and kept by its digest. Rows are looked at, not all of them: see
        `everloop.data.personal.detection`.
        """
        from everloop.data.personal.detection import DETECTOR, find_personal
        from everloop.data.statistics import known_profile

        content = self.content(ref, as_of=as_of)
        with self.kernel.catalog.read() as connection:
            known = queries.find_report(connection, content.digest, detector=DETECTOR)
        if known is None:
            table = Table.open(content, self.kernel.objects)
            known = find_personal(table, profile=known_profile(content, self.kernel))
            with self.kernel.catalog.transaction() as connection:
                queries.keep_report(connection, known)
        return msgspec.structs.replace(known, ref=content.name)
