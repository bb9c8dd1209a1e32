"""The API's own duties: arguments in, problem documents out. What the verbs do is tested with their stages."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from everloop.kernel.operations import Service, operation
from everloop.server.api import MAX_BODY_BYTES, build_api

if TYPE_CHECKING:
    from starlette.types import ASGIApp
    from tests.unit.server.conftest import Call

    from everloop.kernel.operations import Kernel


class Shelf(Service):
    """A stage with one verb of each kind."""

    stage = "shelf"

    @operation("GET /books", needs="book.read", cli_reason="for tests")
    def find(
        self, *, limit: int = 10, tags: list[str] | None = None, author: str | None = None
    ) -> dict[str, str]:
        """Return what was asked for."""
        return {"limit": str(limit), "tags": ",".join(tags or []), "author": str(author)}

    @operation("GET /books/newest", needs="book.read", cli_reason="for tests")
    def newest(self) -> str:
        """Return a fixed word."""
        return "newest"

    @operation("GET /books/{title}", needs="book.read", cli_reason="for tests")
    def get(self, title: str) -> str:
        """Return the title."""
        return title

    @operation("PUT /books/{title}", needs="book.write", emits="book.put", cli_reason="for tests")
    def put(self, title: str, *, pages: int) -> str:
        """Put a book."""
        with self.kernel.catalog.transaction() as connection:
            self.emit(connection, subject=f"book:{title}", payload={"pages": pages})
        return title

    @operation("POST /books/{title}/burning", needs="book.burn", emits="book.burnt", cli_reason="for tests")
    def burn(self, title: str) -> None:
        """Fail by a fault."""
        raise ZeroDivisionError(title)


@pytest.fixture
def api(kernel: Kernel) -> ASGIApp:
    return build_api([Shelf(kernel)], token="t")


HEADERS = {"authorization": "Bearer t"}


def test_query_parameters_are_decoded_by_their_types(call: Call, api: ASGIApp) -> None:
    answer = call(api, "GET", "/api/v1/books", query="limit=3&tags=a&tags=b", headers=HEADERS)

    assert answer.json == {"limit": "3", "tags": "a,b", "author": "None"}


def test_a_fixed_word_wins_over_a_parameter(call: Call, api: ASGIApp) -> None:
    assert call(api, "GET", "/api/v1/books/newest", headers=HEADERS).json == "newest"
    assert call(api, "GET", "/api/v1/books/dune", headers=HEADERS).json == "dune"


@pytest.mark.parametrize(
    ("method", "address", "body", "status", "code", "where"),
    [
        ("GET", "/books?limt=3", b"", 422, "operations.invalid-argument", "$.limt"),
        ("GET", "/books?limit=three", b"", 422, "operations.invalid-argument", "$.limit"),
        ("PUT", "/books/dune", b"", 422, "operations.invalid-argument", "$.pages"),
        ("PUT", "/books/dune", b'{"pages": "many"}', 422, "operations.invalid-argument", "$.pages"),
        ("PUT", "/books/dune", b'{"pages": 1, "colour": 2}', 422, "operations.invalid-argument", "$.colour"),
        ("PUT", "/books/dune", b'{"pages": 1, "title": "x"}', 422, "operations.invalid-argument", "$.title"),
        ("PUT", "/books/dune", b'{"pages": ', 422, "everloop.invalid-input", ""),
        ("PUT", "/books/dune", b"[1]", 422, "everloop.invalid-input", ""),
        ("GET", "/shelves", b"", 404, "everloop.not-found", ""),
        ("DELETE", "/books", b"", 405, "server.wrong-method", ""),
    ],
)  # fmt: skip
def test_a_wrong_request_is_answered_by_a_problem_document(
    call: Call, api: ASGIApp, method: str, address: str, body: bytes, status: int, code: str, where: str
) -> None:
    path, _, query = address.partition("?")

    answer = call(api, method, f"/api/v1{path}", query=query, body=body, headers=HEADERS)

    assert answer.headers["content-type"] == "application/problem+json"
    assert (answer.status, answer.json["code"], answer.json.get("path", "")) == (status, code, where)
    assert answer.json["status"] == status
    assert answer.json["type"] == f"urn:everloop:error:{code}"
    assert answer.json["detail"].endswith(".")


def test_a_body_over_the_limit_is_refused(call: Call, api: ASGIApp) -> None:
    answer = call(api, "PUT", "/api/v1/books/dune", body=b" " * (MAX_BODY_BYTES + 1), headers=HEADERS)

    assert (answer.status, answer.json["code"]) == (413, "server.body-too-large")


def test_a_fault_names_no_detail_of_the_program(call: Call, api: ASGIApp) -> None:
    answer = call(api, "POST", "/api/v1/books/dune/burning", headers=HEADERS)

    assert (answer.status, answer.json["code"]) == (500, "server.internal")
    assert b"ZeroDivision" not in answer.body


def test_a_write_is_done_by_the_owner_of_the_token(call: Call, api: ASGIApp, kernel: Kernel) -> None:
    answer = call(api, "PUT", "/api/v1/books/dune", body=b'{"pages": 412}', headers=HEADERS)

    assert answer.json == "dune"
    assert [(event.actor, event.kind) for event in kernel.events.read()] == [("token:owner", "book.put")]


def test_who_may_not_call_learns_nothing_about_the_arguments(call: Call, kernel: Kernel) -> None:
    class Nobody:
        def allows(self, actor: object, permission: str) -> bool:
            del actor, permission
            return False

    kernel.authorizer = Nobody()

    answer = call(build_api([Shelf(kernel)]), "PUT", "/api/v1/books/dune", body=b"{")

    assert (answer.status, answer.json["code"]) == (403, "everloop.permission-denied")
