"""The ASGI application of the protocol: find the endpoint, read the request, run it in a thread, tell errors MLflow's way.

Tests: tests/unit/mlflow_api/test_protocol.py, tests/integration/mlflow.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

import msgspec
from starlette.concurrency import run_in_threadpool

from everloop.core.actors import acting_as
from everloop.core.errors import EverloopError
from everloop.kernel.operations.calls import authorize
from everloop.mlflow_api import (
    artifacts,
    experiments,
    histories,
    inputs,
    logged_models,
    model_versions,
    registered_models,
    runs,
    server,
    traces,
    values,
)
from everloop.mlflow_api.endpoints import find
from everloop.mlflow_api.errors import BadParameterError, MlflowError, UnknownEndpointError, send_error

if TYPE_CHECKING:
    from starlette.types import Receive, Scope, Send

    from everloop.app import App
    from everloop.mlflow_api.endpoints import Endpoint

__all__ = [
    "Protocol",
    "experiments",
    "histories",
    "inputs",
    "logged_models",
    "model_versions",
    "registered_models",
    "runs",
    "server",
    "traces",
    "values",
]

MAX_BODY_BYTES = 64 << 20
_ROOTS = ("/api/2.0/", "/api/3.0/", "/ajax-api/2.0/", "/ajax-api/3.0/")
_PATHS = frozenset({"/version", "/get-artifact", "/model-versions/get-artifact", "/v1/traces"})
_OPEN = frozenset({"/version", "/api/3.0/mlflow/server-info", "/ajax-api/3.0/mlflow/server-info"})
_JSON = [(b"content-type", b"application/json")]
_log = logging.getLogger(__name__)


class InternalMlflowError(MlflowError):
    """A fault of Everloop on this edge; the log has the details."""

    code = "mlflow.internal"
    status = 500
    told = "INTERNAL_ERROR"


class Protocol:
    """MLflow's HTTP API over an app.

    Attributes:
        open_paths: answered without a token.
    """

    open_paths = _OPEN

    def __init__(self, app: App) -> None:
        self._app = app

    def takes(self, path: str) -> bool:
        """Return whether a path is of this protocol."""
        return path.startswith(_ROOTS) or path in _PATHS

    async def refuse(self, send: Send, error: EverloopError) -> None:
        """Answer with an error that was found before the request came here."""
        await send_error(send, error)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        try:
            await self._answer(scope, receive, send)
        except EverloopError as error:
            await send_error(send, error)
        except Exception:  # noqa: BLE001 - the edge of the process, which logs it
            _log.exception("the MLflow protocol failed", extra={"path": scope["path"]})
            fault = InternalMlflowError(
                f"the server failed on {scope['path']}; its log says why. Please report it."
            )
            await send_error(send, fault)

    async def _answer(self, scope: Scope, receive: Receive, send: Send) -> None:
        method, path = scope["method"], scope["path"]
        if path == "/version":
            await _send(send, server.EMULATED.encode(), [(b"content-type", b"text/plain; charset=utf-8")])
            return
        root = next((root for root in _ROOTS if path.startswith(root)), "")
        room, _, rest = path.removeprefix(root).partition("/")
        if path == "/v1/traces":
            raise UnknownEndpointError(
                "Everloop takes no OTLP: clients keep spans as artifacts of their traces instead."
            )
        if not root or room == "mlflow-artifacts":
            await artifacts.answer(self._app, scope, receive, send)
            return
        found = find(method, root.split("/")[2], rest) if room == "mlflow" else None
        if found is None:
            raise UnknownEndpointError(f"Everloop has no endpoint {method} {path} of MLflow's API.")
        stated, names = found
        body = b"" if method == "GET" else await read_body(receive)
        content = await run_in_threadpool(self._run, scope, stated, body, names)
        await _send(send, content, _JSON)

    def _run(self, scope: Scope, stated: Endpoint, body: bytes, names: dict[str, str]) -> bytes:
        with acting_as(scope["everloop.actor"]):
            if stated.needs:
                authorize(self._app.kernel.authorizer, stated.needs)
            asked = stated.read(body, scope["query_string"], names)
            result = stated.run(self._app, asked)
        if isinstance(result, bytes):
            return result
        return b"{}" if result is None else msgspec.json.encode(result)


async def read_body(receive: Receive) -> bytes:
    """Return the whole body.

    Raises:
        BadParameterError: it is too large.
    """
    message = await receive()
    content: bytes = message.get("body", b"")
    if not message.get("more_body"):
        return content
    pieces, size = [content], len(content)
    while message.get("more_body"):
        message = await receive()
        pieces.append(message.get("body", b""))
        size += len(pieces[-1])
        if size > MAX_BODY_BYTES:
            raise BadParameterError(
                f"The request's body is over {MAX_BODY_BYTES >> 20} MiB. Send less at once."
            )
    return b"".join(pieces)


async def _send(send: Send, body: bytes, headers: list[tuple[bytes, bytes]]) -> None:
    length = (b"content-length", str(len(body)).encode())
    await send({"type": "http.response.start", "status": 200, "headers": [*headers, length]})
    await send({"type": "http.response.body", "body": body})
