"""Artifacts over HTTP: files are streamed into the object store and out of it.

Tests: tests/unit/mlflow_api/test_artifacts.py, tests/integration/mlflow.
"""

from __future__ import annotations

import mimetypes
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs

import anyio
import msgspec
from starlette.concurrency import run_in_threadpool

from everloop.app import App
from everloop.core.actors import acting_as
from everloop.core.digests import Digest
from everloop.core.errors import UnavailableError
from everloop.kernel.operations.calls import authorize
from everloop.mlflow_api import places, queries
from everloop.mlflow_api.endpoints import endpoint, required
from everloop.mlflow_api.errors import UnknownEndpointError
from everloop.mlflow_api.experiments import number_of, place_of
from everloop.mlflow_api.pages import page
from everloop.mlflow_api.runs import id_of, missing

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from starlette.types import Receive, Scope, Send

    from everloop.mlflow_api.queries import ExperimentRow, Stored

# Files up to this size are put and got in one piece.
SMALL = 1 << 20
_PIECE = 4 << 20
_LISTED = 1000
# Shown as they are; whatever a browser would run is sent as text or as bytes.
_SAFE = frozenset(
    {"image/png", "image/jpeg", "image/gif", "image/webp", "application/json", "application/pdf"}
)


class AbortedError(UnavailableError):
    """The client went away before all of a file was received; nothing is kept."""

    code = "mlflow.aborted"


class Listing(msgspec.Struct):
    """A folder of a run's artifacts."""

    run_id: str = ""
    run_uuid: str = ""
    path: str = ""
    page_token: str = ""


@endpoint("GET artifacts/list", needs="run.read")
def list_artifacts(app: App, asked: Listing) -> dict[str, Any]:
    """Return what lies in a folder of a run's artifacts, with paths from the run's own folder."""
    run_id = id_of(asked)
    folder = places.clean(asked.path)
    row = _experiment_of(app, run_id)
    start = f"{number_of(row)}/{run_id}/artifacts"
    listed = places.list_folder(places.below(app, f"{start}/{folder}" if folder else start))
    found, token = page(listed, limit=_LISTED, token=asked.page_token)
    files = [places.as_document(one, f"{folder}/" if folder else "") for one in found]
    root = {"root_uri": f"{place_of(row)}/{run_id}/artifacts", "files": files}
    return root | ({"next_page_token": token} if token else {})


async def answer(app: App, scope: Scope, receive: Receive, send: Send) -> None:
    """Answer a request for a file, or for a listing of the artifact proxy."""
    method, path = scope["method"], scope["path"]
    query = {name: texts[-1] for name, texts in parse_qs(scope["query_string"].decode("latin-1")).items()}
    if path == "/get-artifact" and method == "GET":
        run_id = query.get("run_id") or query.get("run_uuid", "")
        start = await run_in_threadpool(_as_actor, app, scope, "run.read", _run_folder, run_id)
        await _download(app, scope, send, start + places.clean(query.get("path", "")))
        return
    if path == "/model-versions/get-artifact" and method == "GET":
        version = f"{places.REGISTRY}/{query.get('name', '')}/{query.get('version', '')}/"
        await _download(app, scope, send, places.clean(version + places.clean(query.get("path", ""))))
        return
    _, _, rest = path.partition("/mlflow-artifacts/artifacts")
    if rest in ("", "/") and path.rstrip("/").endswith("/mlflow-artifacts/artifacts") and method == "GET":
        folder = places.clean(query.get("path", ""))
        body = await run_in_threadpool(_listing, app, scope, folder)
        await _send(send, body, [(b"content-type", b"application/json")])
    elif not rest.startswith("/") or method not in ("GET", "PUT", "DELETE"):
        raise UnknownEndpointError(f"Everloop has no endpoint {method} {path} of MLflow's API.")
    elif method == "GET":
        await _download(app, scope, send, places.clean(rest[1:]))
    elif method == "PUT":
        await _upload(app, scope, receive, places.clean(rest[1:]))
        await _send(send, b"{}", [(b"content-type", b"application/json")])
    else:
        await run_in_threadpool(_as_actor, app, scope, "run.write", places.remove, places.clean(rest[1:]))
        await _send(send, b"{}", [(b"content-type", b"application/json")])


def _as_actor(app: App, scope: Scope, needs: str, verb: Any, *arguments: Any) -> Any:  # noqa: ANN401 - any verb
    with acting_as(scope["everloop.actor"]):
        authorize(app.kernel.authorizer, needs)
        return verb(app, *arguments)


def _run_folder(app: App, run_id: str) -> str:
    required(run_id, "run_id")
    return f"{number_of(_experiment_of(app, run_id))}/{run_id}/artifacts/"


def _experiment_of(app: App, run_id: str) -> ExperimentRow:
    with app.kernel.catalog.read() as connection:
        row = queries.experiment_of_run(connection, run_id)
    if row is None:
        raise missing(run_id)
    return row


def _listing(app: App, scope: Scope, folder: str) -> bytes:
    found = _as_actor(app, scope, "run.read", places.below, folder)
    return msgspec.json.encode({"files": [places.as_document(one, "") for one in places.list_folder(found)]})


async def _upload(app: App, scope: Scope, receive: Receive, path: str) -> None:
    first, has_more = await _piece(receive)
    if not has_more and len(first) <= SMALL:
        await run_in_threadpool(_as_actor, app, scope, "run.write", _put_small, path, first)
    else:
        await run_in_threadpool(_as_actor, app, scope, "run.write", places.admit, path)
        await run_in_threadpool(
            _as_actor, app, scope, "run.write", _put_large, path, receive, first, has_more
        )


def _put_small(app: App, path: str, content: bytes) -> None:
    # As values of runs, small files wait for no disk: a kill loses none, a power cut at most those of the last moment.
    with app.kernel.catalog.transaction():
        places.admit(app, path)
        digest = app.kernel.objects.put(content, durable=False)
        places.keep(app, path, digest, len(content))


def _put_large(app: App, path: str, receive: Receive, first: bytes, has_more: bool) -> None:  # noqa: FBT001 - from `_piece`
    size = 0

    def pieces() -> Iterator[bytes]:
        nonlocal size
        piece, more = first, has_more
        while True:
            size += len(piece)
            yield piece
            if not more:
                return
            piece, more = anyio.from_thread.run(_piece, receive)

    digest = app.kernel.objects.put(pieces())
    places.keep(app, path, digest, size)


async def _piece(receive: Receive) -> tuple[bytes, bool]:
    """Return the next piece of a body, of about four MiB, and whether more follows.

    Raises:
        AbortedError: as named.
    """
    found: list[bytes] = []
    size = 0
    while size < _PIECE:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise AbortedError("the client went away before all of the file was received. Send it again.")
        found.append(message.get("body", b""))
        size += len(found[-1])
        if not message.get("more_body"):
            return b"".join(found), False
    return b"".join(found), True


async def _download(app: App, scope: Scope, send: Send, path: str) -> None:
    found: Stored = await run_in_threadpool(_as_actor, app, scope, "run.read", places.find, path)
    name = path.rsplit("/", 1)[-1]
    headers = [
        (b"content-type", _media_type(name)),
        (b"content-disposition", b'attachment; filename="%s"' % _plain(name)),
        (b"x-content-type-options", b"nosniff"),
        (b"content-security-policy", b"sandbox"),
    ]
    digest = Digest(found.digest)
    if found.size_bytes <= SMALL:
        await _send(send, await run_in_threadpool(app.kernel.objects.get, digest), headers)
        return
    file = await run_in_threadpool(app.kernel.objects.path, digest)
    length = (b"content-length", str(found.size_bytes).encode())
    await send({"type": "http.response.start", "status": 200, "headers": [*headers, length]})
    await _stream(file, send)


async def _stream(file: Path, send: Send) -> None:
    opened = await run_in_threadpool(file.open, "rb")
    try:
        while piece := await run_in_threadpool(opened.read, _PIECE):
            await send({"type": "http.response.body", "body": piece, "more_body": True})
        await send({"type": "http.response.body", "body": b""})
    finally:
        await run_in_threadpool(opened.close)


def _media_type(name: str) -> bytes:
    guessed = mimetypes.guess_type(name)[0] or "application/octet-stream"
    if guessed in _SAFE:
        return guessed.encode()
    is_text = guessed.startswith("text/") or guessed.endswith(("xml", "javascript", "yaml"))
    return b"text/plain" if is_text else b"application/octet-stream"


def _plain(name: str) -> bytes:
    return "".join(one if one.isascii() and one not in '"\\' else "_" for one in name).encode()


async def _send(send: Send, body: bytes, headers: list[tuple[bytes, bytes]]) -> None:
    length = (b"content-length", str(len(body)).encode())
    await send({"type": "http.response.start", "status": 200, "headers": [*headers, length]})
    await send({"type": "http.response.body", "body": body})
