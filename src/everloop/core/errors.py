"""The error tree: every error has a stable code, names its object and says what to do next.

Each stage derives its own classes here-below and keeps them beside the code that raises them. The class registers
itself by code, so that a remote client raises the same class the server raised. Tests: tests/unit/core/test_errors.py.
"""

from __future__ import annotations

from typing import Any, ClassVar

_CLASSES: dict[str, type[EverloopError]] = {}


class EverloopError(Exception):
    """Any error of Everloop; `str(error)` is one or two sentences that end with the way out.

    Args:
        message: what happened, to which object, and what to do next.
        subject: the object, for example `dataset:flights@v3`; empty when there is none.
        path: a JSON path into the caller's input, for example `$.rows[0].distance`.
        details: further facts for machines; values must be JSON.
    """

    code: ClassVar[str] = "everloop.error"
    status: ClassVar[int] = 400

    def __init_subclass__(cls, **kwargs: object) -> None:
        """Register the class under its code."""
        super().__init_subclass__(**kwargs)
        _CLASSES[cls.code] = cls

    def __init__(
        self, message: str, *, subject: str = "", path: str = "", details: dict[str, Any] | None = None
    ) -> None:
        super().__init__(message)
        self.message = message
        self.subject = subject
        self.path = path
        self.details = details or {}

    def __reduce__(self) -> tuple[Any, ...]:
        """Keep every field when the error crosses a process border."""
        return (_rebuild, (type(self), self.message, self.subject, self.path, self.details))

    def problem(self) -> dict[str, Any]:
        """Return the error as a problem document (RFC 9457) with our own members."""
        document: dict[str, Any] = {
            "type": f"urn:everloop:error:{self.code}",
            "title": type(self).__name__,
            "status": self.status,
            "code": self.code,
            "detail": self.message,
        }
        if self.subject:
            document["subject"] = self.subject
        if self.path:
            document["path"] = self.path
        if self.details:
            document["details"] = self.details
        return document


def _rebuild(
    cls: type[EverloopError], message: str, subject: str, path: str, details: dict[str, Any]
) -> EverloopError:
    return cls(message, subject=subject, path=path, details=details)


def error_from_problem(document: dict[str, Any]) -> EverloopError:
    """Rebuild the error a server answered with; of a class that is not loaded here it becomes the family of its status."""
    family = _FAMILIES.get(document.get("status"), EverloopError)
    cls = _CLASSES.get(str(document.get("code")), family)
    return cls(
        str(document.get("detail", "the server gave no reason")),
        subject=str(document.get("subject", "")),
        path=str(document.get("path", "")),
        details=document.get("details") or {},
    )


class NotFoundError(EverloopError):
    """The object asked for does not exist."""

    code = "everloop.not-found"
    status = 404


class ConflictError(EverloopError):
    """The object exists already, or changed since it was read."""

    code = "everloop.conflict"
    status = 409


class InvalidInputError(EverloopError):
    """The input does not have the form that was asked for."""

    code = "everloop.invalid-input"
    status = 422


class PermissionDeniedError(EverloopError):
    """The actor may not do this."""

    code = "everloop.permission-denied"
    status = 403


class UnauthenticatedError(EverloopError):
    """The request carries no token, or one that is not known."""

    code = "everloop.unauthenticated"
    status = 401


class UnavailableError(EverloopError):
    """A part that is needed does not answer; trying again later may help."""

    code = "everloop.unavailable"
    status = 503


class MissingExtraError(EverloopError):
    """An optional package is not installed."""

    code = "everloop.missing-extra"
    status = 501


_FAMILIES: dict[object, type[EverloopError]] = {
    family.status: family
    for family in (
        NotFoundError, ConflictError, InvalidInputError, PermissionDeniedError, UnauthenticatedError, UnavailableError, MissingExtraError,
    )
}  # fmt: skip
