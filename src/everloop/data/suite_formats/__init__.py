"""Suites of other systems, read as ours: Great Expectations, Pandera, TensorFlow Data Validation.

What has no counterpart is listed in the result with its reason and never dropped in silence. Tests:
tests/unit/data/suite_formats.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from everloop.core.errors import InvalidInputError, MissingExtraError
from everloop.data.suite_formats.notes import Notes, TranslatedSuite, Untranslated

__all__ = ["TranslatedSuite", "UnknownSuiteError", "Untranslated", "translate_suite"]

_TFDV = (".pbtxt", ".textproto", ".prototxt")
_YAML = (".yaml", ".yml")


class UnknownSuiteError(InvalidInputError):
    """A file or an object is no suite of a system that is known here."""

    code = "data.unknown-suite"


def translate_suite(source: object, *, name: str = "") -> TranslatedSuite:
    """Return a suite of another system as one of ours, and what could not be translated.

    Args:
        source: a file: a Great Expectations suite (JSON, 0.18 or 1.x), a Pandera schema (YAML or JSON), a TFDV schema (text
            protobuf); or an object: a Pandera `DataFrameSchema` or `DataFrameModel`, a Great Expectations `ExpectationSuite`.
        name: of the suite; by default what the source says, else the file's name.

    Raises:
        UnknownSuiteError: it is none of these.
        MissingExtraError: YAML cannot be read here.
    """
    if isinstance(source, str | Path):
        return _translate_file(Path(source), name)
    if hasattr(source, "to_schema"):
        source = source.to_schema()
    if hasattr(source, "columns") and hasattr(source, "checks"):
        from everloop.data.suite_formats.pandera import describe_schema, translate_schema

        return _finished(translate_schema, describe_schema(source), name or "pandera")
    if hasattr(source, "to_json_dict"):
        from everloop.data.suite_formats.great_expectations import translate_expectations

        return _finished(translate_expectations, source.to_json_dict(), name or "expectations")
    raise UnknownSuiteError(
        f"{type(source).__name__} is no suite that is known here. Give a file, a Pandera schema or an ExpectationSuite."
    )


def _translate_file(file: Path, name: str) -> TranslatedSuite:
    try:
        text = file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise UnknownSuiteError(f"{file} cannot be read: {error}.", subject=str(file)) from error
    name = name or file.stem
    if file.suffix in _TFDV:
        from everloop.data.suite_formats.pbtxt import parse_message
        from everloop.data.suite_formats.tfdv import translate_features

        return _finished(translate_features, parse_message(text, name=str(file)), name)
    found = _yaml(text, file) if file.suffix in _YAML else _json(text, file)
    if isinstance(found, dict) and isinstance(found.get("expectations"), list):
        from everloop.data.suite_formats.great_expectations import translate_expectations

        return _finished(translate_expectations, found, name)
    if isinstance(found, dict) and isinstance(found.get("columns"), dict):
        from everloop.data.suite_formats.pandera import translate_schema

        return _finished(translate_schema, found, name)
    raise UnknownSuiteError(
        f"{file} is no suite that is known here: it has neither expectations nor columns. A suite of ours is read by "
        "el.Suite.read.",
        subject=str(file),
    )


def _finished(translate: Any, found: Any, name: str) -> TranslatedSuite:  # noqa: ANN401 - one of the readers
    notes = Notes()
    title = translate(found, notes)
    return notes.finish(title or name)


def _json(text: str, file: Path) -> Any:  # noqa: ANN401
    try:
        return json.loads(text)
    except ValueError as error:
        raise UnknownSuiteError(f"{file} is no JSON: {error}.", subject=str(file)) from error


def _yaml(text: str, file: Path) -> Any:  # noqa: ANN401
    try:
        import yaml
    except ImportError as error:
        raise MissingExtraError(
            f"{file} is YAML, and PyYAML is not installed. Install everloop[dvc], or write the schema with to_json."
        ) from error
    try:
        return yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise UnknownSuiteError(f"{file} is no YAML: {error}.", subject=str(file)) from error
