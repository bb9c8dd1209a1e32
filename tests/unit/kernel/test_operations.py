"""What the wrapper of a verb keeps: permission, types, event, idempotency."""

from __future__ import annotations

import threading
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import msgspec
import pytest

from everloop.core.actors import Actor, acting_as
from everloop.core.errors import PermissionDeniedError
from everloop.kernel.operations import Service, operation, operations_of
from everloop.kernel.operations.call import KeyReusedError
from everloop.kernel.operations.calls import InvalidArgumentError, UntoldChangeError, idempotent
from everloop.kernel.operations.statement import IncompleteOperationError

if TYPE_CHECKING:
    from everloop.kernel.operations import Kernel

VIEWER = Actor(name="user:vera", roles=frozenset({"viewer"}))


class Page(msgspec.Struct, frozen=True, kw_only=True):
    """An argument with parts."""

    number: int
    lines: list[str] = []


class Shelf(Service):
    """A stage with a verb of each kind; it counts what was done."""

    stage = "shelf"

    def __init__(self, kernel: Kernel) -> None:
        super().__init__(kernel)
        self.done: list[str] = []

    @operation("GET /books/{title}", needs="book.read", cli_reason="for tests")
    def get(self, title: str, *, page: Page | None = None, since: datetime | None = None) -> str:
        """Return the title."""
        assert page is None or isinstance(page, Page)
        assert since is None or isinstance(since, datetime)
        return title

    @operation("PUT /books/{title}", needs="book.write", emits="book.put", cli_reason="for tests")
    def put(self, title: str, *, page: Page | None = None) -> str:
        """Put a book."""
        with self.kernel.catalog.transaction() as connection:
            self.emit(connection, subject=f"book:{title}", payload=page)
        self.done.append(title)
        return f"{title} {len(self.done)}"

    @operation("DELETE /books/{title}", needs="book.write", emits="book.gone", cli_reason="for tests")
    def drop(self, title: str) -> None:
        """Drop a book; answer nothing."""
        with self.kernel.catalog.transaction() as connection:
            self.emit(connection, subject=f"book:{title}")
        self.done.append(title)

    @operation("POST /books/{title}/copies", needs="book.write", emits="book.copied", cli_reason="for tests")
    def copy(self, title: str) -> str:
        """Put two books by another verb, and tell of the copy."""
        made = [self.put(title), self.put(f"{title} II")]
        with self.kernel.catalog.transaction() as connection:
            self.emit(connection, subject=f"book:{title}")
        return " and ".join(made)

    @operation("POST /books/{title}/dusting", needs="book.write", emits="book.dusted", cli_reason="for tests")
    def dust(self, title: str) -> str:
        """Change nothing, and say so."""
        self.unchanged()
        return title

    @operation("POST /books/{title}/theft", needs="book.write", emits="book.stolen", cli_reason="for tests")
    def steal(self, title: str) -> str:
        """Tell nobody."""
        return title

    @operation("POST /books/{title}/tearing", needs="book.write", emits="book.torn", cli_reason="for tests")
    def tear(self, title: str) -> str:
        """Fail in the middle."""
        with self.kernel.catalog.transaction() as connection:
            self.emit(connection, subject=f"book:{title}")
            raise ZeroDivisionError


@pytest.fixture
def shelf(kernel: Kernel) -> Shelf:
    return Shelf(kernel)


def kinds(shelf: Shelf) -> list[str]:
    return [event.kind for event in shelf.kernel.events.read()]


def test_a_writing_verb_appends_its_event_in_the_name_of_the_actor(shelf: Shelf) -> None:
    with acting_as(Actor(name="user:ada", roles=frozenset({"admin"}))):
        assert shelf.put("dune", page=Page(number=3)) == "dune 1"

    (event,) = shelf.kernel.events.read()
    assert (event.actor, event.kind, event.subject) == ("user:ada", "book.put", "book:dune")
    assert event.payload == {"number": 3, "lines": []}


def test_who_lacks_the_permission_is_refused_before_anything_runs(shelf: Shelf) -> None:
    with acting_as(VIEWER):
        assert shelf.get("dune") == "dune"
        with pytest.raises(PermissionDeniedError, match=r"user:vera.*book\.write.*viewer") as caught:
            shelf.put("dune")

    assert caught.value.details == {"permission": "book.write"}
    assert (shelf.done, kinds(shelf)) == ([], [])


@pytest.mark.parametrize(
    ("page", "path"),
    [
        ({"number": "three"}, "$.page.number"),
        ({"number": 1, "lines": ["a", 2]}, "$.page.lines[1]"),
        ({}, "$.page"),
        (7, "$.page"),
    ],
)
def test_an_argument_of_the_wrong_type_is_named_by_its_json_path(
    shelf: Shelf, page: object, path: str
) -> None:
    with pytest.raises(InvalidArgumentError) as caught:
        shelf.put("dune", page=page)  # type: ignore[arg-type]

    assert caught.value.path == path
    assert path in str(caught.value)
    assert shelf.done == []


def test_plain_values_become_the_declared_types(shelf: Shelf) -> None:
    assert shelf.get("dune", page={"number": 1}, since="2013-02-01T00:00:00Z") == "dune"  # type: ignore[arg-type]
    assert shelf.get("dune", since=datetime(2013, 2, 1, tzinfo=UTC)) == "dune"


def test_a_change_without_its_event_is_a_fault(shelf: Shelf) -> None:
    with pytest.raises(UntoldChangeError, match=r"steal.*book\.stolen"):
        shelf.steal("dune")


def test_a_verb_that_changed_nothing_owes_no_event(shelf: Shelf) -> None:
    assert shelf.dust("dune") == "dune"
    assert kinds(shelf) == []


def test_an_event_is_undone_with_its_change(shelf: Shelf) -> None:
    with pytest.raises(ZeroDivisionError):
        shelf.tear("dune")

    assert kinds(shelf) == []


def test_a_verb_may_call_another_and_each_tells_its_own(shelf: Shelf) -> None:
    assert shelf.copy("dune") == "dune 1 and dune II 2"
    assert kinds(shelf) == ["book.put", "book.put", "book.copied"]


def test_a_repeated_key_returns_the_first_answer_and_runs_once(shelf: Shelf) -> None:
    with idempotent("k"):
        first = shelf.put("dune")
    with idempotent("k"):
        second = shelf.put("dune")

    assert (first, second) == ("dune 1", "dune 1")
    assert kinds(shelf) == ["book.put"]


def test_a_verb_without_an_answer_runs_once_for_a_key(shelf: Shelf) -> None:
    for _ in range(2):
        with idempotent("k"):
            shelf.drop("dune")

    assert shelf.done == ["dune"]


def test_a_key_covers_the_verbs_that_a_verb_calls(shelf: Shelf) -> None:
    for _ in range(2):
        with idempotent("k"):
            assert shelf.copy("dune") == "dune 1 and dune II 2"

    assert kinds(shelf) == ["book.put", "book.put", "book.copied"]


def test_a_key_is_refused_for_other_arguments_and_other_verbs(shelf: Shelf) -> None:
    with idempotent("k"):
        shelf.put("dune")

    with idempotent("k"), pytest.raises(KeyReusedError, match="another request"):
        shelf.put("emma")
    with idempotent("k"), pytest.raises(KeyReusedError, match="another request"):
        shelf.drop("dune")
    assert shelf.done == ["dune"]


def test_a_key_belongs_to_its_actor(shelf: Shelf) -> None:
    for name in ("user:ada", "user:bea"):
        with acting_as(Actor(name=name, roles=frozenset({"admin"}))), idempotent("k"):
            shelf.put("dune")

    assert len(shelf.done) == 2


def test_a_call_that_failed_leaves_its_key_free(shelf: Shelf) -> None:
    with idempotent("k"), pytest.raises(ZeroDivisionError):
        shelf.tear("dune")

    with idempotent("k"):
        assert shelf.put("dune") == "dune 1"


def test_of_many_calls_at_once_with_one_key_one_is_applied(any_kernel: Kernel) -> None:
    shelf = Shelf(any_kernel)
    start = threading.Barrier(8)
    refused: list[KeyReusedError] = []

    def put() -> None:
        start.wait()
        try:
            with idempotent("k"):
                shelf.put("dune")
        except KeyReusedError as error:
            refused.append(error)

    threads = [threading.Thread(target=put) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert kinds(shelf) == ["book.put"]
    assert shelf.done == ["dune"]


@pytest.mark.parametrize(
    ("route", "statement", "reason"),
    [
        ("GET /x", {"needs": "", "cli": "x"}, "no permission"),
        ("FETCH /x", {"needs": "x.read", "cli": "x"}, "no route"),
        ("GET x", {"needs": "x.read", "cli": "x"}, "no route"),
        ("GET /x/{other}", {"needs": "x.read", "cli": "x"}, "other"),
        ("GET /x", {"needs": "x.read"}, "command"),
        ("GET /x", {"needs": "x.read", "cli": "x", "cli_reason": "none"}, "command"),
        ("POST /x", {"needs": "x.write", "cli": "x"}, "event"),
        ("GET /x", {"needs": "x.read", "cli": "x", "emits": "x.read"}, "event"),
    ],
)
def test_a_verb_that_is_not_whole_does_not_load(route: str, statement: dict[str, str], reason: str) -> None:
    def verb(self: Service, name: str) -> str:
        del self
        return name

    with pytest.raises(IncompleteOperationError, match=reason):
        operation(route, **statement)(verb)


def test_the_verbs_of_a_service_are_listed_in_order() -> None:
    assert [stated.name for stated in operations_of(Shelf)][:3] == ["get", "put", "drop"]
