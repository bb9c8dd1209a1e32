"""Where signed webhooks arrive: `POST /hooks/NAME`. No token is asked for; the signature is the proof.

Tests: tests/unit/server/test_hooks.py.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol, runtime_checkable

import msgspec
from starlette.concurrency import run_in_threadpool
from starlette.responses import Response
from starlette.routing import Route

from everloop.core.actors import acting_as
from everloop.core.errors import InvalidInputError
from everloop.server.guard import HOOKS

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from starlette.requests import Request

MAX_HOOK_BYTES = 1 << 20


class HookTooLargeError(InvalidInputError):
    """The body of a webhook is larger than parameters are."""

    code = "server.hook-too-large"
    status = 413


@runtime_checkable
class TakesHooks(Protocol):
    """A service that takes webhooks; it checks the signature before anything else."""

    def receive_hook(self, name: str, *, headers: Mapping[str, str], body: bytes) -> object:
        """Return what came of a message."""
        ...


def hook_routes(services: Sequence[object]) -> list[Route]:
    """Return the route of webhooks when a service takes them."""
    return [_route(service) for service in services if isinstance(service, TakesHooks)]


def _route(service: TakesHooks) -> Route:
    async def endpoint(request: Request) -> Response:
        body = await _body(request)
        name, headers = request.path_params["name"], dict(request.headers)

        def receive() -> object:
            with acting_as(request.scope["everloop.actor"]):
                return service.receive_hook(name, headers=headers, body=body)

        taken = await run_in_threadpool(receive)
        return Response(msgspec.json.encode(taken), status_code=202, media_type="application/json")

    return Route(HOOKS + "{name}", endpoint, methods=["POST"], name="hooks.receive")


async def _body(request: Request) -> bytes:
    content = bytearray()
    async for chunk in request.stream():
        content += chunk
        if len(content) > MAX_HOOK_BYTES:
            raise HookTooLargeError("the body of a webhook is over 1 MiB. Send a reference to large data.")
    return bytes(content)
