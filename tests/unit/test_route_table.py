"""Every verb of every stage is whole: route, permission, event, command, types."""

from __future__ import annotations

import importlib
from collections import Counter
from importlib.util import find_spec
from typing import TYPE_CHECKING

import click
import msgspec
import pytest

from everloop.app import STAGES
from everloop.cli import everloop
from everloop.kernel.operations import Service, operations_of

if TYPE_CHECKING:
    from everloop.kernel.operations import Operation

_PLACES = {"system": "everloop.kernel.system"}


def service_of(stage: str) -> type[Service]:
    """Return the class that holds a stage's verbs."""
    module = importlib.import_module(_PLACES.get(stage, f"everloop.{stage}.service"))
    kinds = [kind for kind in vars(module).values() if isinstance(kind, type) and issubclass(kind, Service)]
    return next(kind for kind in kinds if kind.__dict__.get("stage") == stage)


def every_operation() -> list[tuple[str, Operation]]:
    # A stage whose service is not written yet has no verbs.
    written = [s for s in STAGES if s in _PLACES or find_spec(f"everloop.{s}.service")]
    return [(stage, operation) for stage in written for operation in operations_of(service_of(stage))]


OPERATIONS = every_operation()
each_operation = pytest.mark.parametrize(
    ("stage", "operation"), OPERATIONS, ids=[f"{stage}.{operation.name}" for stage, operation in OPERATIONS]
)


def find_command(words: str) -> click.Command | None:
    """Return the command that `everloop <words>` runs."""
    command: click.Command | None = everloop
    for word in words.split():
        if not isinstance(command, click.Group):
            return None
        command = command.get_command(click.Context(command), word)
    return command


def test_no_two_verbs_share_a_route() -> None:
    routes = Counter((operation.method, operation.path) for _, operation in OPERATIONS)

    assert [route for route, count in routes.items() if count > 1] == []


def test_no_two_routes_differ_only_in_the_names_of_their_parameters() -> None:
    shapes = Counter(
        (operation.method, *(("{}" if part.startswith("{") else part) for part in operation.path.split("/")))
        for _, operation in OPERATIONS
    )

    assert [shape for shape, count in shapes.items() if count > 1] == []


def test_an_event_kind_belongs_to_one_stage() -> None:
    owners: dict[str, set[str]] = {}
    for stage, operation in OPERATIONS:
        if operation.emits:
            owners.setdefault(operation.emits, set()).add(stage)

    assert {kind: stages for kind, stages in owners.items() if len(stages) > 1} == {}


@each_operation
def test_a_verb_names_its_permission_as_noun_and_verb(stage: str, operation: Operation) -> None:
    noun, dot, verb = operation.needs.partition(".")

    assert noun
    assert dot
    assert verb.isidentifier(), f"{stage}.{operation.name} needs {operation.needs!r}"


@each_operation
def test_a_verb_that_writes_has_an_event_and_one_that_reads_has_none(
    stage: str, operation: Operation
) -> None:
    assert bool(operation.emits) == (operation.method != "GET"), f"{stage}.{operation.name}"
    if operation.emits:
        assert operation.emits.count(".") == 1


@each_operation
def test_a_verb_has_a_command_that_exists_or_a_reason_for_none(stage: str, operation: Operation) -> None:
    if operation.cli:
        assert find_command(operation.cli) is not None, f"{stage}.{operation.name}: everloop {operation.cli}"
    else:
        assert len(operation.cli_reason.split()) >= 2


@each_operation
def test_types_of_a_verb_resolve_and_have_a_json_schema(stage: str, operation: Operation) -> None:
    assert set(operation.hints) == {*operation.parameters, "return"}, f"{stage}.{operation.name}"

    for kind in operation.hints.values():
        msgspec.json.schema(kind)


@each_operation
def test_a_verb_is_described(stage: str, operation: Operation) -> None:
    text = operation.function.__doc__ or ""

    assert text.strip().partition("\n")[0].endswith((".", ":")), f"{stage}.{operation.name}"
