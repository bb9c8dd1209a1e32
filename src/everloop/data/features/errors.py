"""The errors of features. Tests: tests/unit/data/features."""

from __future__ import annotations

from everloop.core.errors import ConflictError, EverloopError, InvalidInputError, NotFoundError


class FeatureViewError(InvalidInputError):
    """A feature view does not fit its source or the entities."""

    code = "data.feature-view"


class LostRowError(EverloopError):
    """A join gave more or fewer rows than there are entities; a fault of Everloop."""

    code = "data.lost-row"
    status = 500


class ViewNotFoundError(NotFoundError):
    """There is no feature view of this name, or no such version of it."""

    code = "data.feature-view-not-found"


class NotMaterializedError(NotFoundError):
    """A view has no online rows yet."""

    code = "data.not-materialized"


class OnlinePastError(InvalidInputError):
    """A look-up asked for a moment before the one the online rows reach back to."""

    code = "data.online-past"


class MaterializationSupersededError(ConflictError):
    """Another process began to materialise the same view later; this one stopped and changed nothing."""

    code = "data.materialization-superseded"
