"""Errors as MLflow tells them: a code of its own and the HTTP status that belongs to it.

An MLflow client repeats requests that end in 408, 429, 500, 502, 503 or 504 for about four minutes, so what a user did wrong is never
answered with one of those. Tests: tests/unit/mlflow_api/test_protocol.py.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

import msgspec

from everloop.core.errors import (
    ConflictError,
    EverloopError,
    InvalidInputError,
    NotFoundError,
    PermissionDeniedError,
    UnauthenticatedError,
    UnavailableError,
)
from everloop.tracking.organizing import ExperimentDeletedError, ExperimentExistsError
from everloop.tracking.recording import RunDeletedError

if TYPE_CHECKING:
    from starlette.types import Send


class MlflowError(EverloopError):
    """An error that only the protocol knows."""

    code = "mlflow.error"
    told: ClassVar[str] = "INVALID_PARAMETER_VALUE"


class BadParameterError(MlflowError):
    """A parameter is missing, or is not what the protocol takes."""

    code = "mlflow.bad-parameter"


class NothingThereError(MlflowError):
    """What is asked for does not exist."""

    code = "mlflow.nothing-there"
    status = 404
    told = "RESOURCE_DOES_NOT_EXIST"


class AlreadyThereError(MlflowError):
    """What would be made exists."""

    code = "mlflow.already-there"
    told = "RESOURCE_ALREADY_EXISTS"


class UnknownEndpointError(MlflowError):
    """No endpoint answers there. Clients of another age fall back on exactly this code."""

    code = "mlflow.unknown-endpoint"
    status = 404
    told = "ENDPOINT_NOT_FOUND"


_FAULTS = 500
# The first family that fits decides.
_TOLD: tuple[tuple[type[EverloopError], str, int], ...] = (
    (ExperimentExistsError, "RESOURCE_ALREADY_EXISTS", 400),
    (RunDeletedError, "INVALID_PARAMETER_VALUE", 400),
    (ExperimentDeletedError, "INVALID_PARAMETER_VALUE", 400),
    (NotFoundError, "RESOURCE_DOES_NOT_EXIST", 404),
    (ConflictError, "RESOURCE_CONFLICT", 409),
    (InvalidInputError, "INVALID_PARAMETER_VALUE", 400),
    (PermissionDeniedError, "PERMISSION_DENIED", 403),
    (UnauthenticatedError, "UNAUTHENTICATED", 401),
    (UnavailableError, "TEMPORARILY_UNAVAILABLE", 503),
)


def answer_of(error: EverloopError) -> tuple[int, bytes]:
    """Return the HTTP status of an error, and the document MLflow's clients read."""
    code, status = ("INTERNAL_ERROR", 500) if error.status >= _FAULTS else ("INVALID_PARAMETER_VALUE", 400)
    if isinstance(error, MlflowError):
        code, status = error.told, error.status
    else:
        for family, told, number in _TOLD:
            if isinstance(error, family):
                code, status = told, number
                break
    return status, msgspec.json.encode({"error_code": code, "message": error.message})


async def send_error(send: Send, error: EverloopError) -> None:
    """Answer with an error."""
    status, body = answer_of(error)
    headers = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
    if status == UnauthenticatedError.status:
        headers.append((b"www-authenticate", b'Basic realm="everloop"'))
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
