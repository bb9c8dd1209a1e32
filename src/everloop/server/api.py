"""The HTTP API: one route for each operation, and the objects.

Nothing here knows a stage: routes are read off the services that `app` holds. Operations run in threads, because they
wait for the database. Tests: tests/integration/test_remote.py, tests/unit/server.
"""

from __future__ import annotations

import logging
from contextlib import ExitStack
from types import UnionType
from typing import TYPE_CHECKING, Any, Protocol, Union, get_args, get_origin

import msgspec
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.responses import Response
from starlette.routing import Route

from everloop.core.actors import acting_as
from everloop.core.errors import EverloopError, InvalidInputError, NotFoundError
from everloop.core.version import VERSION
from everloop.kernel.operations import operations_of
from everloop.kernel.operations.calls import InvalidArgumentError, authorize, idempotent
from everloop.kernel.operations.transport import API
from everloop.server.guard import Guard
from everloop.server.hooks import hook_routes
from everloop.server.objects import object_routes
from everloop.server.openapi import describe

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Collection, Sequence

    from starlette.requests import Request
    from starlette.types import ASGIApp, Receive, Scope, Send

    from everloop.kernel.operations import Operation, Service

MAX_BODY_BYTES = 64 << 20
_log = logging.getLogger(__name__)
_BAD_JSON = "the body is not valid JSON: {}. Send an object with the operation's parameters."


class BodyTooLargeError(InvalidInputError):
    """A request body is larger than an operation may have."""

    code = "server.body-too-large"
    status = 413


class InternalError(EverloopError):
    """A fault of Everloop; the log has the details."""

    code = "server.internal"
    status = 500


class Edge(Protocol):
    """Another protocol on the port of the API. Called by the event loop, from one thread."""

    @property
    def open_paths(self) -> Collection[str]:
        """Return the paths that are answered without a token."""
        ...

    def takes(self, path: str) -> bool:
        """Return whether a path is of this protocol."""
        ...

    async def refuse(self, send: Send, error: EverloopError) -> None:
        """Answer with an error, in the form the protocol's clients read."""
        ...

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request that was admitted."""
        ...


def build_api(
    services: Sequence[Service], *, token: str = "", hosts: Sequence[str] = (), edges: Sequence[Edge] = ()
) -> ASGIApp:
    """Return the ASGI application of the API.

    Args:
        services: the stages, all on one kernel.
        token: secret to ask for; empty for loopback.
        hosts: names to answer to besides loopback.
        edges: other protocols, which take their paths before the API does.
    """
    document = msgspec.json.encode(describe(services))
    routes = [
        Route("/health", _answer(b'{"status":"ok","version":"%s"}' % VERSION.encode()), methods=["GET"]),
        Route(f"{API}/openapi.json", _answer(document), methods=["GET"]),
        *object_routes(services[0].kernel),
        *hook_routes(services),
    ]
    for service in services:
        routes += [_route(service, operation) for operation in operations_of(type(service))]
    handlers = {404: _not_found, 405: _wrong_method, EverloopError: _problem, Exception: _fault}
    app = Starlette(routes=_specific_first(routes), exception_handlers=handlers)
    doors = [
        (edge, Guard(edge, token=token, hosts=hosts, open_paths=edge.open_paths, refuse=edge.refuse))
        for edge in edges
    ]
    return _by_path(Guard(app, token=token, hosts=hosts), doors)


def _by_path(api: Guard, doors: Sequence[tuple[Edge, Guard]]) -> ASGIApp:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        door = api
        if scope["type"] == "http":
            door = next((guard for edge, guard in doors if edge.takes(scope["path"])), api)
        await door(scope, receive, send)

    return app


def _specific_first(routes: list[Route]) -> list[Route]:
    """Order routes so that a fixed word wins over a parameter in the same place."""
    return sorted(routes, key=lambda route: [part.startswith("{") for part in route.path.split("/")])


def _answer(content: bytes) -> Callable[[Request], Awaitable[Response]]:
    async def answer(_: Request) -> Response:
        return Response(content, media_type="application/json")

    return answer


def _route(service: Service, operation: Operation) -> Route:
    async def endpoint(request: Request) -> Response:
        # Before the arguments are read, so that who may not call learns nothing about them and sends nothing in vain.
        with acting_as(request.scope["everloop.actor"]):
            authorize(service.kernel.authorizer, operation.needs)
        arguments = await _arguments(request, operation)
        result = await run_in_threadpool(_run, service, operation, arguments, request)
        return Response(msgspec.json.encode(result), media_type="application/json")

    return Route(
        API + operation.path, endpoint, methods=[operation.method], name=f"{service.stage}.{operation.name}"
    )


def _run(service: Service, operation: Operation, arguments: dict[str, Any], request: Request) -> Any:  # noqa: ANN401
    with ExitStack() as stack:
        stack.enter_context(acting_as(request.scope["everloop.actor"]))
        if key := request.headers.get("idempotency-key"):
            stack.enter_context(idempotent(key))
        _require_all(operation, arguments)
        return getattr(service, operation.name)(**arguments)


async def _arguments(request: Request, operation: Operation) -> dict[str, Any]:
    arguments: dict[str, Any] = {}
    for name, text in request.path_params.items():
        arguments[name] = _from_text(operation, name, text)
    if operation.takes_body:
        given = await _body(request)
    else:
        given = _query(request, operation)
    # A body may not contradict the path it was sent to.
    if unknown := set(given) - (set(operation.parameters) - operation.path_names):
        name = min(unknown)
        known = ", ".join(operation.parameters) or "none"
        raise InvalidArgumentError(
            f"{operation.name} has no parameter {name!r} there. Its parameters: {known}.", path=f"$.{name}"
        )
    return arguments | given


async def _body(request: Request) -> dict[str, Any]:
    content = bytearray()
    async for chunk in request.stream():
        content += chunk
        if len(content) > MAX_BODY_BYTES:
            raise BodyTooLargeError(
                f"the body is over {MAX_BODY_BYTES >> 20} MiB. Send large data as objects."
            )
    if not content:
        return {}
    try:
        return msgspec.json.decode(bytes(content), type=dict[str, Any])
    except msgspec.DecodeError as error:
        raise InvalidInputError(_BAD_JSON.format(error)) from error


def _query(request: Request, operation: Operation) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name in request.query_params:
        if name not in operation.parameters:
            found[name] = None
            continue
        texts = request.query_params.getlist(name)
        if _takes_many(operation.hints[name]):
            found[name] = _from_texts(operation, name, texts)
        else:
            found[name] = _from_text(operation, name, texts[-1])
    return found


def _takes_many(kind: object) -> bool:
    """Return whether a parameter is a sequence, or one or None."""
    several = (kind, *get_args(kind)) if get_origin(kind) in (Union, UnionType) else (kind,)
    return any(get_origin(one) in (list, tuple, set, frozenset) for one in several)


def _from_texts(operation: Operation, name: str, texts: list[str]) -> object:
    try:
        return msgspec.convert(texts, operation.hints[name], strict=False)
    except msgspec.ValidationError as error:
        raise InvalidArgumentError(f"{operation.name}: {error} at $.{name}.", path=f"$.{name}") from error


def _from_text(operation: Operation, name: str, text: str) -> object:
    kind = operation.hints[name]
    try:
        return msgspec.convert(text, kind, strict=False)
    except msgspec.ValidationError as error:
        try:
            return msgspec.json.decode(text, type=kind)
        except msgspec.DecodeError:
            raise InvalidArgumentError(f"{operation.name}: {error} at $.{name}.", path=f"$.{name}") from error


def _require_all(operation: Operation, arguments: dict[str, Any]) -> None:
    for name, parameter in operation.parameters.items():
        if parameter.default is parameter.empty and name not in arguments:
            raise InvalidArgumentError(f"{operation.name} needs the parameter {name!r}.", path=f"$.{name}")


async def _problem(_: Request, error: Exception) -> Response:
    if not isinstance(error, EverloopError):
        raise error
    return Response(
        msgspec.json.encode(error.problem()), status_code=error.status, media_type="application/problem+json"
    )


async def _not_found(request: Request, _: Exception) -> Response:
    error = NotFoundError(
        f"there is no route {request.url.path}. The routes are listed in {API}/openapi.json."
    )
    return await _problem(request, error)


class WrongMethodError(InvalidInputError):
    """A route does not answer to this HTTP method."""

    code = "server.wrong-method"
    status = 405


async def _wrong_method(request: Request, _: Exception) -> Response:
    error = WrongMethodError(
        f"{request.url.path} does not answer to {request.method}. The routes are listed in {API}/openapi.json."
    )
    return await _problem(request, error)


async def _fault(request: Request, error: Exception) -> Response:
    _log.error("operation failed", extra={"path": request.url.path}, exc_info=error)
    return await _problem(
        request,
        InternalError(f"the server failed on {request.url.path}; its log says why. Please report it."),
    )
