"""The protocol in this process: an app on a home of its own, and a way to send requests without a socket."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol
from urllib.parse import unquote, urlencode

import pytest

from everloop.app import App
from everloop.mlflow_api.protocol import Protocol as MlflowProtocol
from everloop.server.guard import Guard

if TYPE_CHECKING:
    from starlette.types import Message
    from tests.conftest import MakeKernel

    from everloop.kernel import Kernel


class Answer(NamedTuple):
    """Status, headers and body of a response."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


class Ask(Protocol):
    """Sends one request."""

    def __call__(self, method: str, path: str, body: object = None, /, **query: object) -> Answer: ...


@pytest.fixture
def app(kernel: Kernel) -> App:
    return App(kernel)


@pytest.fixture
def ask(app: App) -> Ask:
    return asker(app)


def asker(app: App, *, token: str = "", headers: dict[str, str] | None = None) -> Ask:
    """Return what sends requests to the protocol; paths are below `mlflow/` unless they start with a slash."""
    edge = MlflowProtocol(app)
    guard = Guard(edge, token=token, open_paths=edge.open_paths, refuse=edge.refuse)
    given = {"host": "localhost", **(headers or {})}

    def send_one(method: str, path: str, body: object = None, /, **query: object) -> Answer:
        whole = path if path.startswith("/") else f"/api/2.0/mlflow/{path}"
        content = body if isinstance(body, bytes) else b"" if body is None else json.dumps(body).encode()
        scope = {
            "type": "http",
            "method": method,
            "path": unquote(whole),
            "raw_path": whole.encode(),
            "query_string": urlencode(query, doseq=True).encode(),
            "headers": [(name.encode(), text.encode()) for name, text in given.items()],
        }
        return asyncio.run(_send(guard, scope, content))

    return send_one


async def _send(guard: Guard, scope: dict[str, Any], content: bytes) -> Answer:
    sent: list[Message] = []
    pieces = [content[i : i + 65536] for i in range(0, len(content), 65536)] or [b""]

    async def receive() -> Message:
        piece = pieces.pop(0)
        return {"type": "http.request", "body": piece, "more_body": bool(pieces)}

    async def send(message: Message) -> None:
        sent.append(message)

    await guard(scope, receive, send)
    headers = {name.decode(): text.decode() for name, text in sent[0]["headers"]}
    return Answer(sent[0]["status"], headers, b"".join(one.get("body", b"") for one in sent[1:]))


@pytest.fixture
def run_id(ask: Ask) -> str:
    made = ask("POST", "runs/create", {"experiment_id": "0", "run_name": "a run"})
    found: str = made.json["run"]["info"]["run_id"]
    return found


@pytest.fixture
def postgres_app(make_kernel: MakeKernel, postgres_url: str) -> App:
    return App(make_kernel(catalog_url=postgres_url))
