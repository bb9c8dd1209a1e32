"""The table of endpoints: a function states its routes and its permission, and its second parameter is what a request holds.

Requests are protobuf's JSON: numbers may come as texts, NaN and infinities always do; the parameters of a GET come in the query.
Tests: tests/unit/mlflow_api/test_protocol.py.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar, get_args, get_origin, get_type_hints
from urllib.parse import parse_qs

import msgspec

from everloop.mlflow_api.errors import BadParameterError

if TYPE_CHECKING:
    from collections.abc import Callable

    from everloop.app import App

    Handler = TypeVar("Handler", bound=Callable[..., object])


class Tag(msgspec.Struct):
    """A key with a text."""

    key: str = ""
    value: str = ""


class Empty(msgspec.Struct):
    """A request that asks for nothing in particular."""


class Endpoint:
    """One endpoint: its permission, what it asks for, and what answers.

    Attributes:
        needs: permission of the actor; empty for what anyone may know.
        asks: type of the request.
        run: what answers, given the app and the request.
    """

    def __init__(self, run: Callable[[App, Any], object], needs: str) -> None:
        self.needs = needs
        self.run = run
        hints = get_type_hints(run)
        self.asks = next(kind for name, kind in hints.items() if name not in ("app", "return"))
        self._decoder = msgspec.json.Decoder(self.asks, strict=False)
        self._lists = {
            field.name for field in msgspec.structs.fields(self.asks) if get_origin(field.type) is list
        }
        self._plain_lists = {
            field.name
            for field in msgspec.structs.fields(self.asks)
            if get_args(field.type) and get_args(field.type)[0] is str
        }

    def read(self, body: bytes, query: bytes, given: dict[str, str]) -> Any:  # noqa: ANN401 - of the type `asks`
        """Return the request: from the body, else from the query; names in the path win.

        Raises:
            BadParameterError: it does not have the form.
        """
        try:
            if body and not given:
                return self._decoder.decode(body)
            found = self._loose(body) if body else self._query(query)
            return msgspec.convert({**found, **given}, self.asks, strict=False)
        except msgspec.ValidationError as error:
            raise BadParameterError(f"Invalid value for a parameter: {error}") from error
        except msgspec.DecodeError:
            return msgspec.convert({**self._loose(body), **given}, self.asks, strict=False)

    def _loose(self, body: bytes) -> dict[str, Any]:
        """Read JSON as Python writes it, with bare NaN and Infinity."""
        try:
            found = json.loads(body)
        except ValueError as error:
            raise BadParameterError(f"The request's body is not valid JSON: {error}") from error
        if not isinstance(found, dict):
            raise BadParameterError("The request's body is no JSON object.")
        return found

    def _query(self, query: bytes) -> dict[str, Any]:
        found = parse_qs(query.decode("latin-1"), keep_blank_values=True)
        return {name: texts if name in self._lists else texts[-1] for name, texts in found.items()}


class Route(NamedTuple):
    """Where an endpoint answers: method, version of the API (empty: any), parts of the path below `mlflow/`."""

    method: str
    version: str
    parts: tuple[str, ...]


_exact: dict[tuple[str, str], list[tuple[Route, Endpoint]]] = {}
_patterns: list[tuple[Route, Endpoint]] = []


def endpoint(*routes: str, needs: str) -> Callable[[Handler], Handler]:
    """State what answers at some routes, written `POST runs/create`; `3.0 GET traces/{id}` is of that version only."""

    def decorate(run: Handler) -> Handler:
        stated = Endpoint(run, needs)
        for text in routes:
            *version, method, path = text.split()
            route = Route(method, version[0] if version else "", tuple(path.split("/")))
            if "{" in path:
                _patterns.append((route, stated))
            else:
                _exact.setdefault((method, path), []).append((route, stated))
        return run

    return decorate


def find(method: str, version: str, path: str) -> tuple[Endpoint, dict[str, str]] | None:
    """Return what answers there and the names in the path; None when nothing does."""
    for route, stated in _exact.get((method, path), ()):
        if route.version in ("", version):
            return stated, {}
    parts = path.split("/")
    for route, stated in _patterns:
        if route.method == method and route.version in ("", version) and len(route.parts) == len(parts):
            pairs = list(zip(route.parts, parts, strict=True))
            if all(one.startswith("{") or one == other for one, other in pairs):
                return stated, {one.strip("{}"): other for one, other in pairs if one.startswith("{")}
    return None


def every_endpoint() -> list[tuple[Route, Endpoint]]:
    """Return the table."""
    return [*(one for several in _exact.values() for one in several), *_patterns]


def required(value: object, name: str) -> None:
    """Refuse a parameter that is missing or empty.

    Raises:
        BadParameterError: as named.
    """
    if value is None or value == "":
        raise BadParameterError(f"Missing value for required parameter '{name}'.")
