"""The OpenAPI document of every stage is valid, and says of each verb what a client needs."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import msgspec
import pytest

from everloop.app import App
from everloop.kernel.operations import operations_of
from everloop.server.openapi import describe

if TYPE_CHECKING:
    from everloop.kernel.operations import Kernel


@pytest.fixture
def document(kernel: Kernel) -> dict[str, Any]:
    made: dict[str, Any] = json.loads(msgspec.json.encode(describe(App(kernel).services)))
    return made


def test_the_document_is_valid_openapi_3_1(document: dict[str, Any]) -> None:
    from openapi_spec_validator import OpenAPIV31SpecValidator

    assert document["openapi"].startswith("3.1")

    OpenAPIV31SpecValidator(document).validate()


def test_every_verb_of_every_stage_is_in_it_once(document: dict[str, Any], kernel: Kernel) -> None:
    stated = {
        f"{service.stage}_{operation.name}"
        for service in App(kernel).services
        for operation in operations_of(type(service))
    }

    written = [verb["operationId"] for path in document["paths"].values() for verb in path.values()]

    assert sorted(written) == sorted(stated)


def test_every_verb_names_its_permission_and_writes_name_their_event(document: dict[str, Any]) -> None:
    for path in document["paths"].values():
        for method, verb in path.items():
            assert verb["x-permission"]
            assert ("x-event" in verb) == (method != "get")
            assert verb["summary"]


def test_every_reference_points_at_a_schema(document: dict[str, Any]) -> None:
    found = set(_references(document))

    assert found <= {f"#/components/schemas/{name}" for name in document["components"]["schemas"]}


def _references(node: object) -> list[str]:
    if isinstance(node, dict):
        own = [node["$ref"]] if isinstance(node.get("$ref"), str) else []
        return own + [found for value in node.values() for found in _references(value)]
    if isinstance(node, list):
        return [found for value in node for found in _references(value)]
    return []
