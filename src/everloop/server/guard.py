"""The one layer every request passes: Host, Origin, token, size. Deny by default.

A browser page of another site can reach a loopback port; the Host and Origin checks are what stops it (DNS rebinding,
cross-site requests). Tests: tests/unit/server/test_guard.py.
"""

from __future__ import annotations

import base64
import hmac
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import msgspec

from everloop.core.actors import Actor
from everloop.core.errors import EverloopError, PermissionDeniedError, UnauthenticatedError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Collection

    from starlette.types import ASGIApp, Receive, Scope, Send

    Refuse = Callable[[Send, EverloopError], Awaitable[None]]

LOOPBACK = frozenset({"127.0.0.1", "localhost", "::1", "[::1]"})
_OPEN_PATHS = frozenset({"/health"})
# What is sent there carries a signature of its own, which `hooks.py` checks.
HOOKS = "/hooks/"


class ForeignHostError(PermissionDeniedError):
    """The request names a host this server does not answer to."""

    code = "server.foreign-host"
    status = 421


class ForeignOriginError(PermissionDeniedError):
    """A page of another site sent the request."""

    code = "server.foreign-origin"


def is_loopback(host: str) -> bool:
    """Return whether a bind address reaches this machine only."""
    return host in LOOPBACK


class Guard:
    """ASGI layer that lets through what comes from an allowed host and origin with the right token.

    Args:
        app: what is behind.
        token: the secret to ask for; empty asks for none, which is for loopback only.
        hosts: names to answer to besides loopback.
        open_paths: answered without a token.
        refuse: answers with an error, in the form the clients of this application read; a problem document by default.
    """

    def __init__(
        self,
        app: ASGIApp,
        *,
        token: str = "",
        hosts: Collection[str] = (),
        open_paths: Collection[str] = _OPEN_PATHS,
        refuse: Refuse | None = None,
    ) -> None:
        self._app = app
        self._open_paths = open_paths
        self._refuse = refuse or send_problem
        self._token = token
        self._hosts = LOOPBACK | {host.lower() for host in hosts}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a refusal, or pass the request on with its actor."""
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
            return
        if scope["type"] != "http":
            await send({"type": "websocket.close", "code": 1008})
            return
        headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}
        try:
            scope["everloop.actor"] = self._admit(scope["path"], headers)
        except EverloopError as error:
            await self._refuse(send, error)
            return
        await self._app(scope, receive, send)

    def _admit(self, path: str, headers: dict[str, str]) -> Actor:
        host = _host_name(headers.get("host", ""))
        if host not in self._hosts:
            raise ForeignHostError(
                f"this server does not answer to the name {host!r}. Add it to allowed_hosts in everloop.toml if it is yours.",
                subject=host,
            )
        origin = headers.get("origin", "")
        if origin and _origin_host(origin) not in self._hosts:
            raise ForeignOriginError(f"a page of {origin} may not call this server.", subject=origin)
        return self._authenticate(path, headers)

    def _authenticate(self, path: str, headers: dict[str, str]) -> Actor:
        if path.startswith(HOOKS):
            return Actor(name="hook:" + path.removeprefix(HOOKS))
        if not self._token or path in self._open_paths:
            return Actor(name="user:local", roles=frozenset({"admin"} if not self._token else ()))
        given = _secret(headers.get("authorization", ""))
        if not hmac.compare_digest(given.encode(), self._token.encode()):
            raise UnauthenticatedError(
                "this server asks for a token: send the header 'Authorization: Bearer TOKEN', or set EVERLOOP_TOKEN for the client."
            )
        return Actor(name="token:owner", roles=frozenset({"admin"}))


def _secret(header: str) -> str:
    """Return the token of a header: a bearer's, or the password of clients that know only names and passwords."""
    scheme, _, given = header.partition(" ")
    if scheme.lower() == "bearer":
        return given.strip()
    if scheme.lower() != "basic":
        return ""
    try:
        return base64.b64decode(given.strip(), validate=True).decode().partition(":")[2]
    except ValueError:  # no base64, or no text
        return ""


def _origin_host(origin: str) -> str:
    try:
        return _host_name(urlsplit(origin).netloc)
    except ValueError:  # an address that is none, such as http://[
        return ""


def _host_name(netloc: str) -> str:
    if netloc.startswith("["):
        return netloc.partition("]")[0].lower() + "]"
    return netloc.partition(":")[0].lower()


async def send_problem(send: Send, error: EverloopError) -> None:
    """Answer with an error document."""
    body = msgspec.json.encode(error.problem())
    headers = [(b"content-type", b"application/problem+json"), (b"content-length", str(len(body)).encode())]
    if error.status == UnauthenticatedError.status:
        headers.append((b"www-authenticate", b"Bearer"))
    await send({"type": "http.response.start", "status": error.status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
