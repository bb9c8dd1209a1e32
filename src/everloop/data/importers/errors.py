"""Why another system's versions cannot be read."""

from __future__ import annotations

from everloop.core.errors import ConflictError, InvalidInputError, NotFoundError


class NoRepositoryError(NotFoundError):
    """There is no repository or table of the kind at the place."""

    code = "data.import-not-found"


class MissingContentError(ConflictError):
    """The history names a file whose bytes are not here."""

    code = "data.import-missing-content"


class UnreadableHistoryError(InvalidInputError):
    """The other system's records are damaged, or of a form that is not known."""

    code = "data.import-unreadable"


class UnsupportedFeatureError(InvalidInputError):
    """The other system uses a feature without which its rows would be read wrongly."""

    code = "data.import-unsupported"


class UnsafePathError(InvalidInputError):
    """A path of the other system leaves its folder."""

    code = "data.import-unsafe-path"
