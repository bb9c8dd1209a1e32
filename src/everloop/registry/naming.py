"""Names of models and aliases, and the errors about them. Tests: tests/unit/registry/test_service.py."""

from __future__ import annotations

import re

from everloop.core.errors import ConflictError, InvalidInputError, NotFoundError

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,99}")
VERSION = re.compile(r"v([1-9][0-9]*)")


class ModelNotFoundError(NotFoundError):
    """No model, version or alias has this name."""

    code = "registry.not-found"


class InvalidModelNameError(InvalidInputError):
    """A name cannot be a model's or an alias's."""

    code = "registry.invalid-name"


class ModelExistsError(ConflictError):
    """A model has this name already."""

    code = "registry.exists"


def check_name(name: str) -> None:
    """Refuse what cannot be the name of a model or of an alias.

    Raises:
        InvalidModelNameError: as named.
    """
    if not _NAME.fullmatch(name) or VERSION.fullmatch(name):
        raise InvalidModelNameError(
            f"{name!r} cannot be a name; use letters, digits, dot, dash and underscore, and nothing like v7.",
            subject=name,
        )
