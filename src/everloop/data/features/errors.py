"""The errors of features. Tests: tests/unit/data/features."""

from __future__ import annotations

from everloop.core.errors import EverloopError, InvalidInputError


class FeatureViewError(InvalidInputError):
    """A feature view does not fit its source or the entities."""

    code = "data.feature-view"


class LostRowError(EverloopError):
    """A join gave more or fewer rows than there are entities; a fault of Everloop."""

    code = "data.lost-row"
    status = 500
