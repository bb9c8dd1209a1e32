"""Suites as files that people write: TOML or JSON, with errors that say where.

    name = "flights"

    [[checks]]
    kind = "between"
    column = "distance"
    low = 10

Tests: tests/unit/data/test_suite_files.py.
"""

from __future__ import annotations

import json
import re
import tomllib
from datetime import date, datetime, time
from pathlib import Path
from typing import Any

import msgspec

from everloop.core.durations import InvalidDurationError, format_duration, parse_duration
from everloop.core.errors import InvalidInputError
from everloop.data import check_functions
from everloop.data.check_kinds import KINDS, InvalidCheckError, checked, fields_of, near
from everloop.data.records import Check, Suite

_TABLE = re.compile(r"^\s*\[\[\s*checks\s*\]\]")
_FORM = '{"name": "flights", "checks": [{"kind": "not_null", "column": "dest", "severity": "fail"}]}'
# How a field is called in a file where that differs from the record.
_WITHIN = "within"
_DEFAULTS = {field.name: field.default for field in msgspec.structs.fields(Check)}


class SuiteFileError(InvalidInputError):
    """A file is no suite; the message says where."""

    code = "data.suite-file"


def read_suite(file: str | Path) -> Suite:
    """Return the suite of a file, TOML when its name ends so, else JSON.

    Functions of checks of kind `python` are imported: read only files that you would run.

    Raises:
        SuiteFileError: the file is missing or is no suite.
    """
    path = Path(file)
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise SuiteFileError(f"{path} cannot be read: {error}. Give a TOML or JSON file.") from error
    return parse_suite(text, name=str(path), is_toml=path.suffix == ".toml")


def parse_suite(text: str, *, name: str, is_toml: bool) -> Suite:
    """Return the suite of a text; `name` is what errors call it.

    Raises:
        SuiteFileError: it is none.
    """
    try:
        found = tomllib.loads(text) if is_toml else json.loads(text)
    except ValueError as error:  # both kinds of syntax errors say the line
        raise SuiteFileError(
            f"{name} is no {'TOML' if is_toml else 'JSON'}: {error}.", subject=name
        ) from error
    if not isinstance(found, dict) or not isinstance(found.get("checks"), list):
        raise SuiteFileError(
            f"{name} is no suite: it has no list of checks. Its form is {_FORM}.", subject=name
        )
    for key in found:
        if key not in ("name", "checks"):
            raise SuiteFileError(
                f"{name}: a suite has no {key!r}. {near(key, ['name', 'checks'])}", subject=name
            )
    title = found.get("name", Path(name).stem)
    if not isinstance(title, str) or not title:
        raise SuiteFileError(f"{name}: name is a text that is not empty, not {title!r}.", subject=name)
    lines = [at for at, line in enumerate(text.splitlines(), 1) if _TABLE.match(line)] if is_toml else []
    places = _places(found["checks"], lines, name)
    checks = [_check(one, place) for one, place in zip(found["checks"], places, strict=True)]
    return Suite(title, checks)


def write_suite(suite: Suite, file: str | Path) -> None:
    """Write a suite to a file, whole or not at all.

    Raises:
        InvalidCheckError: the function of a check cannot be imported by its name.
    """
    path = Path(file)
    text = format_suite(suite, is_toml=path.suffix == ".toml")
    partial = path.with_name(f"{path.name}.partial")
    partial.write_text(text, encoding="utf-8")
    partial.replace(path)


def format_suite(suite: Suite, *, is_toml: bool) -> str:
    """Return the text of a suite, which `parse_suite` reads back."""
    for check in suite.checks:
        if check.kind == "python" and not check_functions.is_importable(check.function):
            raise InvalidCheckError(
                f"{check.title} cannot be written: its function has no name to import it by. Move it into a module."
            )
    checks = [_plain(check) for check in suite.checks]
    if not is_toml:
        return json.dumps({"name": suite.name, "checks": checks}, indent=2, ensure_ascii=False) + "\n"
    tables = ["\n".join(["[[checks]]", *(f"{key} = {_toml(one[key])}" for key in one)]) for one in checks]
    return "\n\n".join([f"name = {_toml(suite.name)}", *tables]) + "\n"


def _places(checks: list[Any], lines: list[int], name: str) -> list[str]:
    if len(lines) == len(checks):
        return [f"{name}, line {line}, check {at}" for at, line in enumerate(lines, 1)]
    return [f"{name}, check {at} ($.checks[{at - 1}])" for at in range(1, len(checks) + 1)]


def _check(given: object, place: str) -> Check:
    if not isinstance(given, dict):
        raise SuiteFileError(f"{place} is no table of fields but {given!r}.", subject=place)
    kind = given.get("kind")
    if not isinstance(kind, str) or kind not in KINDS:
        what = f"there is no kind {kind!r}" if kind is not None else "it has no kind"
        raise SuiteFileError(f"{place}: {what}. {near(str(kind), list(KINDS))}", subject=place)
    known = [_WITHIN if field == "within_s" else field for field in fields_of(kind)]
    for key in given:
        if key not in known and key != "within_s":
            raise SuiteFileError(
                f"{place}: a check of kind {kind} takes no {key!r}. {near(key, known)}", subject=place
            )
    try:
        check = msgspec.convert(_fields(given), Check)
        if check.kind == "python":
            check_functions.load(check.function)
        return checked(check)
    except (msgspec.ValidationError, InvalidCheckError, InvalidDurationError) as error:
        raise SuiteFileError(f"{place}: {error}", subject=place) from error


def _fields(given: dict[str, Any]) -> dict[str, Any]:
    fields = {
        key: value.isoformat() if isinstance(value, date | datetime | time) else value
        for key, value in given.items()
    }
    if _WITHIN in fields:
        fields["within_s"] = parse_duration(fields.pop(_WITHIN)).total_seconds()
    return fields


def _plain(check: Check) -> dict[str, Any]:
    given: dict[str, Any] = msgspec.to_builtins(check)
    fields = {key: value for key, value in given.items() if key == "kind" or value != _DEFAULTS.get(key)}
    if "within_s" in fields:
        from datetime import timedelta

        fields[_WITHIN] = format_duration(timedelta(seconds=fields.pop("within_s")))
    return fields


def _toml(value: object) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        # A basic string of TOML is one of JSON, but for the character 0x7f.
        return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
    if isinstance(value, list):
        return f"[{', '.join(_toml(item) for item in value)}]"
    if isinstance(value, float):
        return repr(value)
    return str(value)
