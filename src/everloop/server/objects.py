"""Objects over HTTP: bytes by digest, in both directions. The client names a digest, never a path.

Tests: tests/integration/test_remote.py.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from starlette.concurrency import iterate_in_threadpool, run_in_threadpool
from starlette.responses import Response, StreamingResponse
from starlette.routing import Route

from everloop.core.actors import acting_as
from everloop.core.digests import Digest, parse_digest
from everloop.core.errors import InvalidInputError
from everloop.kernel.objects.protocol import DigestMismatchError
from everloop.kernel.operations.calls import InvalidArgumentError, authorize
from everloop.kernel.operations.transport import API

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from starlette.requests import Request

    from everloop.kernel import Kernel

_CHUNK = 1 << 20


def object_routes(kernel: Kernel) -> list[Route]:
    """Return the routes for reading and writing objects."""

    async def read(request: Request) -> Response:
        digest = await run_in_threadpool(_admit, kernel, request, "object.read")
        path = await run_in_threadpool(kernel.objects.path, digest)
        size = await run_in_threadpool(kernel.objects.size, digest)
        headers = {
            "content-length": str(size),
            "etag": f'"{digest}"',
            "x-content-type-options": "nosniff",
            "content-disposition": "attachment",
            "content-security-policy": "sandbox",
        }
        return StreamingResponse(
            iterate_in_threadpool(_chunks(path)), media_type="application/octet-stream", headers=headers
        )

    async def read_range(request: Request) -> Response:
        digest = await run_in_threadpool(_admit, kernel, request, "object.read")
        start, length = _number(request, "start"), _number(request, "length")
        content = await run_in_threadpool(kernel.objects.get_range, digest, start, length)
        return Response(content, media_type="application/octet-stream")

    async def size(request: Request) -> Response:
        digest = await run_in_threadpool(_admit, kernel, request, "object.read")
        return Response(
            str(await run_in_threadpool(kernel.objects.size, digest)), media_type="application/json"
        )

    async def write(request: Request) -> Response:
        digest = await run_in_threadpool(_admit, kernel, request, "object.write")
        staged = kernel.home / "cache" / "uploads"
        stored = await _receive(kernel, request, staged)
        if stored != digest:
            raise DigestMismatchError(
                f"the bytes sent hash to {stored}, not to {digest}. Send them again.", subject=digest
            )
        return Response(status_code=204)

    address = API + "/objects/{digest}"
    return [
        Route(address + "/size", size, methods=["GET"]),
        Route(address + "/range", read_range, methods=["GET"]),
        Route(address, read, methods=["GET"]),
        Route(address, write, methods=["PUT"]),
    ]


def _admit(kernel: Kernel, request: Request, permission: str) -> Digest:
    with acting_as(request.scope["everloop.actor"]):
        authorize(kernel.authorizer, permission)
    return parse_digest(request.path_params["digest"])


def _number(request: Request, name: str) -> int:
    text = request.query_params.get(name, "")
    if not text.isdecimal():
        raise InvalidArgumentError(f"{name} is a whole number of bytes, not {text!r}.", path=f"$.{name}")
    return int(text)


def _chunks(path: Path) -> Iterator[bytes]:
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK):
            yield chunk


async def _receive(kernel: Kernel, request: Request, folder: Path) -> Digest:
    from everloop.core.ids import new_id

    await run_in_threadpool(folder.mkdir, parents=True, exist_ok=True)
    target = folder / new_id()
    try:
        with target.open("wb") as file:
            async for chunk in request.stream():
                file.write(chunk)
        return await run_in_threadpool(kernel.objects.put, target)
    except OSError as error:
        raise InvalidInputError(f"the object could not be received: {error}.") from error
    finally:
        target.unlink(missing_ok=True)
