"""Every error has a code of its own, and survives the way through pickle and HTTP."""

from __future__ import annotations

import importlib
import pickle
import pkgutil

import pytest

import everloop
from everloop.core import errors
from everloop.core.errors import ConflictError, EverloopError, NotFoundError, error_from_problem


class ShelfFullError(ConflictError):
    """A class of this test."""

    code = "shelf.full"


def every_error() -> list[type[EverloopError]]:
    for module in pkgutil.walk_packages(everloop.__path__, "everloop."):
        # Scripts, and contract suites that need pytest's collection, hold no errors.
        if not module.name.endswith(("__main__", ".versions.0001_first", ".env", ".demo.loop")):
            importlib.import_module(module.name)
    found, waiting = [], [EverloopError]
    while waiting:
        kind = waiting.pop()
        found.append(kind)
        waiting += kind.__subclasses__()
    return [kind for kind in found if kind.__module__.startswith("everloop.")]


def test_no_two_errors_share_a_code() -> None:
    codes: dict[str, str] = {}
    for kind in every_error():
        other = codes.setdefault(kind.code, kind.__qualname__)
        assert other == kind.__qualname__, f"{other} and {kind.__qualname__} are both {kind.code}"


def test_every_error_is_described_named_and_of_http() -> None:
    for kind in every_error():
        assert kind.__doc__, kind
        assert kind.__name__.endswith("Error"), kind
        assert 400 <= kind.status < 600, kind
        assert kind.code.count(".") == 1, kind


def full() -> ShelfFullError:
    return ShelfFullError(
        "the shelf is full. Take a book.", subject="shelf:a", path="$.rows[0]", details={"books": 7}
    )


@pytest.mark.parametrize("way", ["pickle", "problem"])
def test_an_error_arrives_as_what_it_was(way: str) -> None:
    sent = full()

    came = pickle.loads(pickle.dumps(sent)) if way == "pickle" else error_from_problem(sent.problem())  # noqa: S301

    assert type(came) is ShelfFullError
    assert (str(came), came.subject, came.path, came.details) == (
        str(sent), sent.subject, sent.path, sent.details,
    )  # fmt: skip


def test_a_problem_document_has_the_members_of_rfc_9457() -> None:
    document = full().problem()

    assert document["type"] == "urn:everloop:error:shelf.full"
    assert (document["title"], document["status"]) == ("ShelfFullError", 409)
    assert document["detail"] == "the shelf is full. Take a book."


def test_empty_members_are_left_out() -> None:
    assert not {"subject", "path", "details"} & set(NotFoundError("there is none.").problem())


@pytest.mark.parametrize("document", [{}, {"code": "of.the.future"}, {"code": 7, "details": None}])
def test_an_unknown_problem_becomes_a_plain_error(document: dict[str, object]) -> None:
    assert type(error_from_problem(document)) is errors.EverloopError
