"""The gateway: the process that answers predictions over HTTP.

uvicorn with uvloop and httptools runs a small ASGI app with routes matched by hand; the model path decides the speed, the
server must only not be in its way. Routes: POST /predict/{deployment}, POST /labels/{deployment}, GET /deployments, /health,
/ready. Tests: tests/integration/test_gateway.py; speed: benchmarks/gateway.py.
"""

from __future__ import annotations

import asyncio
import gc
import hmac
import logging
import os
import socket
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec

from everloop.core.errors import (
    EverloopError,
    InvalidInputError,
    NotFoundError,
    PermissionDeniedError,
    UnauthenticatedError,
    UnavailableError,
)
from everloop.core.ids import new_id
from everloop.serving.answering import answer
from everloop.serving.live import Logs, Watcher
from everloop.serving.prediction_log import LabelRequest
from everloop.serving.service import label_frame

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from everloop.kernel.operations import Kernel
    from everloop.kernel.settings import Settings
    from everloop.serving.live import Live

Scope = dict[str, Any]

_LOG = logging.getLogger(__name__)
_JSON = (b"content-type", b"application/json")
_PROBLEM = (b"content-type", b"application/problem+json")
_MOST_BODY_BYTES = 64 << 20
_LONGEST_ID = 200
_LOOPBACK = ("127.0.0.1", "::1", "localhost")
_decode_labels = msgspec.json.Decoder(LabelRequest).decode


class PortInUseError(UnavailableError):
    """Another process listens on the port."""

    code = "serving.port-in-use"


class OpenBindError(PermissionDeniedError):
    """The gateway would listen beyond this machine without a token."""

    code = "serving.open-bind"


class PausedError(UnavailableError):
    """The deployment is paused."""

    code = "serving.paused"


class UnknownRouteError(NotFoundError):
    """The gateway has no such route or deployment."""

    code = "serving.unknown-route"


class BodyTooLargeError(InvalidInputError):
    """A request body is larger than the gateway takes."""

    code = "serving.body-too-large"
    status = 413


class Response(NamedTuple):
    """Status, headers and body of an answer."""

    status: int
    headers: list[tuple[bytes, bytes]]
    body: bytes


class Gateway:
    """The ASGI app; one for a process and event loop.

    Args:
        kernel: an open home.
        token: demanded as `Authorization: Bearer`, when not empty.
    """

    def __init__(self, kernel: Kernel, *, token: str = "") -> None:
        self._clock = kernel.clock
        self._authorization = f"Bearer {token}".encode() if token else b""
        self._executor = ThreadPoolExecutor(
            max_workers=min(4, os.cpu_count() or 1), thread_name_prefix="predict"
        )
        self._logs = Logs(kernel)
        self.watcher = Watcher(kernel, f"{socket.gethostname()}:{os.getpid()}", self._executor, self._logs)

    async def __call__(self, scope: Scope, receive: Any, send: Any) -> None:  # noqa: ANN401 - ASGI's own types
        """Answer one HTTP request."""
        if scope["type"] != "http":
            return
        try:
            response = await self._respond(scope, receive)
        except EverloopError as error:
            response = _problem(error)
        except Exception:  # noqa: BLE001 - the edge of the process: logged, and the next request must not suffer
            _LOG.exception("request failed", extra={"path": scope["path"]})
            response = _problem(
                BrokenAnswerError("the model failed on this request; the gateway's log has the reason.")
            )
        start = {"type": "http.response.start", "status": response.status}
        headers = [*response.headers, (b"content-length", str(len(response.body)).encode())]
        await send({**start, "headers": headers})
        await send({"type": "http.response.body", "body": response.body})

    def close(self) -> None:
        """Write what is left of the logs to the disk."""
        self._executor.shutdown()
        self._logs.close()

    async def _respond(self, scope: Scope, receive: Any) -> Response:  # noqa: ANN401 - ASGI's own types
        headers = dict(scope["headers"])
        method, path = scope["method"], scope["path"]
        if method == "GET" and path == "/health":
            return Response(200, [_JSON], b'{"live": true}')
        if self._authorization and not hmac.compare_digest(
            headers.get(b"authorization", b""), self._authorization
        ):
            raise UnauthenticatedError("the gateway asks for a token: send `Authorization: Bearer TOKEN`.")
        _, noun, *rest = path.split("/")
        if method == "POST" and len(rest) == 1 and noun in ("predict", "labels"):
            body = await _read(receive)
            if noun == "labels":
                return await self._label(rest[0], body)
            return await self._predict(self._find(rest[0]), body, headers, scope["query_string"])
        if method == "GET" and not rest:
            return self._tell(noun)
        raise UnknownRouteError(
            f"{method} {path} is no route of the gateway; predict with POST /predict/DEPLOYMENT."
        )

    async def _predict(self, live: Live, body: bytes, headers: dict[bytes, bytes], query: bytes) -> Response:
        request = headers.get(b"x-request-id", b"").decode("latin-1")[:_LONGEST_ID] or new_id()
        if live.filler is not None:
            # A database may take its time; other requests must not wait for it.
            loop = asyncio.get_running_loop()
            body = await loop.run_in_executor(self._executor, live.filler.fill, body)
        reply = await answer(
            live, body, request=request, clock=self._clock, wants_reasons=query == b"explain=true"
        )
        told = [_JSON, (b"x-request-id", request.encode("latin-1", "replace"))]
        if reply.unknown:
            told.append((b"x-everloop-unknown", ",".join(reply.unknown).encode("ascii", "replace")))
        return Response(200, told, reply.body)

    async def _label(self, deployment: str, body: bytes) -> Response:
        self._find(deployment, is_label=True)
        try:
            request = _decode_labels(body)
        except msgspec.DecodeError as error:
            reason, _, at = str(error).partition(" - at `")
            raise InvalidInputError(f"the labels cannot be read: {reason}.", path=at.rstrip("`")) from error
        frame = label_frame(request, body, self._clock.now())
        writer = self._logs.get(deployment, "labels")
        writer.append(frame)
        # Nobody sends a label twice because of a power cut, so it is on the disk before the answer.
        await asyncio.get_running_loop().run_in_executor(None, writer.sync)
        return Response(200, [_JSON], msgspec.json.encode({"received": len(request.ids)}))

    def _find(self, deployment: str, *, is_label: bool = False) -> Live:
        live = self.watcher.live.get(deployment)
        if live is None:
            error = self.watcher.errors.get(deployment)
            if error:
                raise UnavailableError(f"{deployment} could not be loaded: {error}", subject=deployment)
            raise UnknownRouteError(
                f"there is no deployment {deployment}; this gateway serves {', '.join(self.watcher.live) or 'none yet'}.",
                subject=f"deployment:{deployment}",
            )
        if live.routing.is_paused and not is_label:
            raise PausedError(
                f"{deployment} is paused; `everloop deploy resume {deployment}` lets it answer.",
                subject=deployment,
            )
        return live

    def _tell(self, noun: str) -> Response:
        if noun == "ready":
            is_ready = self.watcher.is_ready and not self.watcher.errors
            return Response(200 if is_ready else 503, [_JSON], msgspec.json.encode({"ready": is_ready}))
        if noun == "deployments":
            return Response(
                200, [_JSON], msgspec.json.encode([self._state(live) for live in self.watcher.live.values()])
            )
        raise UnknownRouteError(
            f"GET /{noun} is no route of the gateway; it has /health, /ready and /deployments."
        )

    def _state(self, live: Live) -> dict[str, object]:
        return {
            "deployment": live.name,
            "generation": live.routing.generation,
            "model": live.routing.model,
            "weights": {f"v{route.version}": route.weight for route in live.routing.routes},
            "paused": live.routing.is_paused,
            "error": self.watcher.errors.get(live.name, ""),
        }


class BrokenAnswerError(EverloopError):
    """A model raised on a request that fits its signature."""

    code = "serving.broken-answer"
    status = 500


def serve_gateway(
    settings: Settings, *, token: str | None = None, sockets: Sequence[socket.socket] = ()
) -> None:
    """Run a gateway in this process until it is told to stop (SIGTERM, SIGINT); requests in flight are answered first.

    Args:
        settings: where the home is and where to listen.
        token: demanded from clients; that of the settings when None.
        sockets: listen on these, already bound, instead of the address of the settings.

    Raises:
        PortInUseError: another process has the port.
        OpenBindError: the address is not loopback and there is no token.
    """
    secret = settings.token if token is None else token
    if not sockets and settings.gateway_host not in _LOOPBACK and not secret:
        raise OpenBindError(
            f"the gateway would listen on {settings.gateway_host} for everyone. Set a token (EVERLOOP_TOKEN) or listen on 127.0.0.1."
        )
    bound = list(sockets) or [bind(settings.gateway_host, settings.gateway_port)]
    from everloop.kernel.runtime import open_kernel

    kernel = open_kernel(settings)
    try:
        with asyncio.Runner(loop_factory=_loop_factory()) as runner:
            runner.run(_serve(kernel, secret, bound))
    finally:
        kernel.close()


def bind(host: str, port: int) -> socket.socket:
    """Return a listening socket.

    Raises:
        PortInUseError: another process has the port.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((host, port))
        listener.listen(2048)
    except OSError as error:
        listener.close()
        raise PortInUseError(
            f"the gateway cannot listen on {host}:{port}: {error.strerror}. Stop the other process, or set gateway_port.",
            subject=f"{host}:{port}",
        ) from error
    return listener


def _loop_factory() -> Callable[[], asyncio.AbstractEventLoop] | None:
    try:
        import uvloop
    except ImportError:  # there is no uvloop for Windows
        return None
    return uvloop.new_event_loop


async def _serve(kernel: Kernel, token: str, sockets: list[socket.socket]) -> None:
    import uvicorn

    app = Gateway(kernel, token=token)
    await app.watcher.look()
    # What is loaded by now stays: without this each full collection walks all of it, some ten milliseconds at a time.
    gc.collect()
    gc.freeze()
    watching = asyncio.create_task(app.watcher.run())
    try:
        await uvicorn.Server(server_config(app)).serve(sockets=sockets)
    finally:
        watching.cancel()
        app.close()


def server_config(app: Any) -> Any:  # noqa: ANN401 - an ASGI app, and uvicorn's own class, loaded late
    """Return the server's settings; the benchmark's bare server uses the same."""
    import uvicorn

    return uvicorn.Config(
        app,
        http="httptools",
        ws="none",
        lifespan="off",
        access_log=False,
        log_level="warning",
        server_header=False,
        date_header=False,
        backlog=2048,
        timeout_graceful_shutdown=10,
    )


async def _read(receive: Any) -> bytes:  # noqa: ANN401 - ASGI's own types
    message = await receive()
    if not message.get("more_body"):
        return message.get("body", b"")  # type: ignore[no-any-return]  # bytes by ASGI's contract
    pieces, size = [message["body"]], len(message["body"])
    while message.get("more_body"):
        message = await receive()
        if message["type"] == "http.disconnect":
            break
        pieces.append(message["body"])
        size += len(message["body"])
        if size > _MOST_BODY_BYTES:
            raise BodyTooLargeError(
                f"a request may have {_MOST_BODY_BYTES >> 20} MiB; send the rows in several."
            )
    return b"".join(pieces)


def _problem(error: EverloopError) -> Response:
    return Response(error.status, [_PROBLEM], msgspec.json.encode(error.problem()))
