"""Look-ups of online rows, in the process that asks. Tests: tests/unit/data/features/test_featuring.py."""

from __future__ import annotations

import re
from datetime import UTC
from typing import TYPE_CHECKING

from everloop.core.clock import from_microseconds, to_microseconds
from everloop.data.features import queries
from everloop.data.features.errors import FeatureViewError, OnlinePastError
from everloop.data.features.records import OnlineRows

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime

    from everloop.data.features.form import Form
    from everloop.kernel.operations import Kernel

_REFERENCE = re.compile(r"([A-Za-z0-9][A-Za-z0-9_.-]{0,127})(?:@v([1-9]\d*))?")


def parse_view(text: str) -> tuple[str, int]:
    """Return the name and the version of a view, 0 when none is named.

    Raises:
        FeatureViewError: it is neither `weather` nor `weather@v2`.
    """
    found = _REFERENCE.fullmatch(text)
    if found is None:
        raise FeatureViewError(
            f"{text!r} does not name a feature view. Use letters, digits, _ . - and then @v2 for a version.",
            subject=text,
        )
    return found[1], int(found[2] or 0)


class Lookup:
    """Finds the features of keys in the catalog of a home. Threads may share it."""

    def __init__(self, kernel: Kernel) -> None:
        self._kernel = kernel
        self._forms: dict[str, Form] = {}

    def form(self, view: str) -> Form:
        """Return the names and types of a view's keys and features, as they were when last looked at.

        Raises:
            NotMaterializedError: as named.
        """
        found = self._forms.get(view)
        if found is None:
            from everloop.data.features.form import form_of

            with self._kernel.catalog.read() as connection:
                found = form_of(bytes(queries.look_up(connection, *parse_view(view), [])[0].form))
            self._forms[view] = found
        return found

    def rows(
        self, view: str, keys: Callable[[Form], list[list[object]]], at: datetime | None = None
    ) -> OnlineRows:
        """Return the features of keys at a moment, now by default.

        Args:
            view: `weather`, whose newest materialised version answers, or `weather@v2`.
            keys: gives the values of each key in the order of the form's.
            at: as of when.

        Raises:
            NotMaterializedError, OnlinePastError, FeatureViewError: as named.
        """
        name, number = parse_view(view)
        form = self.form(view)
        texts = [form.key_text(key) for key in keys(form)]
        with self._kernel.catalog.read() as connection:
            asked = [text for text in texts if text is not None]
            state, held = queries.look_up(connection, name, number, asked)
        if bytes(state.form) != form.encoded:
            # The types have changed since they were read: the keys may be written in another way.
            from everloop.data.features.form import form_of

            self._forms[view] = form_of(bytes(state.form))
            return self.rows(view, keys, at)
        moment = _moment(view, at, self._kernel.clock.now(), state.horizon)
        rows = [held.get(text) if text is not None else None for text in texts]
        return OnlineRows(
            view=f"{name}@v{state.version}",
            source=state.source,
            at=from_microseconds(moment),
            form=form.encoded,
            rows=[None if row is None else form.alive(row, moment) for row in rows],
        )


def _moment(view: str, at: datetime | None, now: datetime, horizon: int) -> int:
    """Return as of when a look-up is answered, in microseconds."""
    if at is None:
        return max(to_microseconds(now), horizon)
    moment = to_microseconds(at if at.tzinfo else at.replace(tzinfo=UTC))
    if moment < horizon:
        raise OnlinePastError(
            f"the online rows of {view} are those from {from_microseconds(horizon):%Y-%m-%d %H:%M:%S} UTC on. For an earlier moment "
            "use training_rows.",
            subject=f"feature-view:{view}",
        )
    return moment
