"""TensorFlow Data Validation schemas, from their text form.

Source: tensorflow_metadata/proto/v0/schema.proto. A feature of a life cycle stage that TFDV passes over is passed over here too,
and noted. Tests: tests/unit/data/suite_formats/test_tfdv.py.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

from everloop.data import checks as make
from everloop.data.engine import quote

if TYPE_CHECKING:
    from collections.abc import Callable

    from everloop.data.records import Check
    from everloop.data.suite_formats.notes import Notes
    from everloop.data.suite_formats.pbtxt import Message

_TYPES = {"BYTES": "text", "INT": "integer", "FLOAT": "number"}
_PASSED_OVER = ("DEPRECATED", "PLANNED", "ALPHA", "DEBUG_ONLY", "DISABLED", "DERIVED")
# Fields that demand nothing of rows, or are read with another.
_SILENT = {
    "name",
    "type",
    "annotation",
    "lifecycle_stage",
    "deprecated",
    "domain",
    "distribution_constraints",
    "shape",
}
_ONE = {"min": [1], "max": [1]}


def translate_features(schema: Message, notes: Notes) -> str:
    """Translate a schema; it has no name."""
    features = [_message(one) for one in schema.get("feature", [])]
    domains = {
        str(_first(domain, "name")): (kind, domain)
        for kind in ("string_domain", "int_domain", "float_domain")
        for domain in map(_message, schema.get(kind, []))
    }
    needed = [str(_first(one, "name")) for one in features if "presence" in one and not _is_passed_over(one)]
    if needed:
        notes.add("table", "presence", lambda: [make.has_columns(*needed)])
    for feature in features:
        _feature(feature, domains, notes)
    for constraints in map(_message, schema.get("dataset_constraints", [])):
        _dataset(constraints, notes)
    for field in schema:
        if field not in ("feature", "string_domain", "int_domain", "float_domain", "dataset_constraints",
                         "default_environment", "annotation"):  # fmt: skip
            notes.leave("table", field, "there is no such rule here")
    return ""


def _feature(feature: Message, domains: dict[str, tuple[str, Message]], notes: Notes) -> None:
    name = str(_first(feature, "name"))
    if _is_passed_over(feature):
        stage = _first(feature, "lifecycle_stage") or "deprecated"
        notes.leave(name, "lifecycle_stage", f"the feature is {stage}, so TFDV does not check it either")
        return
    kind = str(_first(feature, "type") or "")
    if kind in _TYPES:
        notes.add(name, "type", lambda: [make.of_type(name, _TYPES[kind])])
    elif kind:
        notes.leave(name, "type", f"the type {kind} is not known here")
    named = str(_first(feature, "domain") or "")
    whole: Message = {**feature, domains[named][0]: [domains[named][1]]} if named in domains else feature
    if named and named not in domains:
        notes.leave(name, "domain", f"the schema has no domain {named}")
    for field, values in whole.items():
        if field in _SILENT or (field == "value_count" and values == [_ONE]):
            continue
        reader = _READERS.get(field)
        if reader is None:
            notes.leave(name, field, _REASONS.get(field, "there is no such rule here"))
            continue
        found = _message(values[0])
        notes.add(name, field, partial(reader, name, found, whole))


def _dataset(constraints: Message, notes: Notes) -> None:
    low, high = _first(constraints, "min_examples_count"), _first(constraints, "max_examples_count")
    if low is not None or high is not None:
        notes.add("table", "dataset_constraints", lambda: [make.row_count(min=low, max=high)])
    for field in constraints:
        if field not in ("min_examples_count", "max_examples_count"):
            notes.leave("table", field, _COMPARES)


def _presence(name: str, found: Message, _: Message) -> list[Check]:
    share, least = _first(found, "min_fraction"), _first(found, "min_count")
    checks = [make.not_null(name, share=float(share))] if share else []
    if least and least > 1:
        checks.append(make.sql(f"SELECT greatest(0, {int(least)} - count({quote(name)})) FROM rows"))
    return checks


def _values(name: str, found: Message, feature: Message) -> list[Check]:
    mass = [_first(_message(one), "min_domain_mass") for one in feature.get("distribution_constraints", [])]
    return [
        make.in_set(
            name, [str(value) for value in found.get("value", [])], share=float((mass or [1.0])[0] or 1.0)
        )
    ]


def _range(name: str, found: Message, _: Message) -> list[Check]:
    low, high = _first(found, "min"), _first(found, "max")
    checks = [make.between(name, low, high)] if low is not None or high is not None else []
    if _first(found, "disallow_nan"):
        checks.append(make.expression(f"NOT isnan({quote(name)})"))
    if _first(found, "disallow_inf"):
        checks.append(make.expression(f"NOT isinf({quote(name)})"))
    return checks


def _boolean(name: str, found: Message, feature: Message) -> list[Check]:
    both = [_first(found, "true_value"), _first(found, "false_value")]
    if any(both):
        return [make.in_set(name, [str(value) for value in both if value])]
    return [make.in_set(name, [0, 1])] if _first(feature, "type") in ("INT", "FLOAT") else []


def _distinct(name: str, found: Message, _: Message) -> list[Check]:
    return [make.distinct(name, min=_first(found, "min"), max=_first(found, "max"))]


_READERS: dict[str, Callable[[str, Message, Message], list[Check]]] = {
    "presence": _presence,
    "string_domain": _values,
    "int_domain": _range,
    "float_domain": _range,
    "bool_domain": _boolean,
    "unique_constraints": _distinct,
}
_COMPARES = "it compares two datasets; `monitor skew` and monitors do that"
_REASONS = {
    "drift_comparator": _COMPARES,
    "skew_comparator": _COMPARES,
    "in_environment": "in part: checks here hold wherever the suite runs",
    "not_in_environment": "in part: checks here hold wherever the suite runs",
    "value_count": "a column has one value for each row here",
}


def _is_passed_over(feature: Message) -> bool:
    return _first(feature, "lifecycle_stage") in _PASSED_OVER or _first(feature, "deprecated") is True


def _first(message: Message, field: str) -> Any:  # noqa: ANN401 - a scalar
    return next(iter(message.get(field, [])), None)


def _message(value: object) -> Message:
    return value if isinstance(value, dict) else {}
