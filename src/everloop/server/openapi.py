"""The OpenAPI 3.1 document, derived from the operations. Tests: tests/integration/test_openapi.py checks it with a validator."""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING, Any

import msgspec

from everloop.core.version import VERSION
from everloop.kernel.operations import operations_of
from everloop.kernel.operations.transport import API

if TYPE_CHECKING:
    from collections.abc import Sequence

    from everloop.kernel.operations import Operation, Service

_PROBLEM = {
    "description": "a problem document (RFC 9457): code, detail with the way out, subject, path",
    "content": {"application/problem+json": {"schema": {"$ref": "#/components/schemas/Problem"}}},
}
_PROBLEM_SCHEMA = {
    "type": "object",
    "required": ["type", "title", "status", "code", "detail"],
    "properties": {
        "type": {"type": "string"},
        "title": {"type": "string"},
        "status": {"type": "integer"},
        "code": {"type": "string"},
        "detail": {"type": "string"},
        "subject": {"type": "string"},
        "path": {"type": "string"},
        "details": {"type": "object"},
    },
}


def describe(services: Sequence[Service]) -> dict[str, Any]:
    """Return the document for all operations of `services`."""
    pairs = [(service, operation) for service in services for operation in operations_of(type(service))]
    kinds = [kind for _, operation in pairs for kind in _kinds(operation)]
    schemas, components = msgspec.json.schema_components(kinds, ref_template="#/components/schemas/{name}")
    by_kind = dict(zip(map(id, kinds), schemas, strict=True))
    paths: dict[str, dict[str, Any]] = {}
    for service, operation in pairs:
        paths.setdefault(API + operation.path, {})[operation.method.lower()] = _describe(
            service, operation, by_kind
        )
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Everloop",
            "version": VERSION,
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "paths": paths,
        "components": {
            "schemas": {**components, "Problem": _PROBLEM_SCHEMA},
            "securitySchemes": {"token": {"type": "http", "scheme": "bearer"}},
        },
        "security": [{"token": []}, {}],
    }


def _kinds(operation: Operation) -> list[Any]:
    return [operation.hints[name] for name in [*operation.parameters, "return"]]


def _describe(service: Service, operation: Operation, schemas: dict[int, Any]) -> dict[str, Any]:
    text = inspect.getdoc(operation.function) or ""
    found: dict[str, Any] = {
        "operationId": f"{service.stage}_{operation.name}",
        "tags": [service.stage],
        "summary": text.partition("\n")[0],
        "description": text,
        "x-permission": operation.needs,
        "parameters": _parameters(operation, schemas),
        "responses": {"200": _result(operation, schemas), "default": _PROBLEM},
    }
    if operation.emits:
        found["x-event"] = operation.emits
    if operation.takes_body and (body := _body(operation, schemas)):
        found["requestBody"] = body
    return found


def _parameters(operation: Operation, schemas: dict[int, Any]) -> list[dict[str, Any]]:
    found = []
    for name, parameter in operation.parameters.items():
        is_path = name in operation.path_names
        if is_path or not operation.takes_body:
            is_required = is_path or parameter.default is parameter.empty
            found.append({
                "name": name, "in": "path" if is_path else "query", "required": is_required,
                "schema": schemas[id(operation.hints[name])],
            })  # fmt: skip
    return found


def _body(operation: Operation, schemas: dict[int, Any]) -> dict[str, Any] | None:
    names = [name for name in operation.parameters if name not in operation.path_names]
    if not names:
        return None
    required = [name for name in names if operation.parameters[name].default is inspect.Parameter.empty]
    schema: dict[str, Any] = {
        "type": "object",
        "properties": {name: schemas[id(operation.hints[name])] for name in names},
        "additionalProperties": False,
    }
    if required:
        schema["required"] = required
    return {"required": bool(required), "content": {"application/json": {"schema": schema}}}


def _result(operation: Operation, schemas: dict[int, Any]) -> dict[str, Any]:
    schema = schemas[id(operation.hints["return"])]
    return {"description": "the result", "content": {"application/json": {"schema": schema}}}
