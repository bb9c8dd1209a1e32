"""What a pipeline is given: params, dataset references, files. A path is a name, not content: say `File` to mean content.

Tests: tests/unit/pipelines/test_inputs.py.
"""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from everloop.core.digests import NotCanonicalError, canonical_json
from everloop.core.errors import InvalidInputError

if TYPE_CHECKING:
    from collections.abc import Mapping

TABLE = "table"
FILE = "file"
VALUE = "value"


class InvalidPipelineInputError(InvalidInputError):
    """An input of a pipeline is missing, unknown or of the wrong form."""

    code = "pipelines.invalid-input"


class PathInputWarning(UserWarning):
    """A plain text looks like a path: the cache key holds the name, so an edited file would not be noticed."""


class File:
    """A file whose content counts: its digest enters the cache key, and a step gets a local copy.

    Attributes:
        path: where the content is; inside a step a read-only file.
    """

    __slots__ = ("path",)

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)

    def read_bytes(self) -> bytes:
        """Return the content."""
        return self.path.read_bytes()

    def read_text(self) -> str:
        """Return the content as UTF-8 text."""
        return self.path.read_text(encoding="utf-8")

    def __repr__(self) -> str:
        """Show the path."""
        return f"File({str(self.path)!r})"


def kind_of(hint: object) -> str:
    """Return how an input of this annotation is read: `table`, `file` or `value`."""
    if hint is File:
        return FILE
    name, module = getattr(hint, "__name__", ""), getattr(hint, "__module__", "") or ""
    if name == "Table" and module.startswith("everloop.data"):
        return TABLE
    return VALUE


def check_names(given: Mapping[str, object], known: Mapping[str, bool], pipeline: str) -> None:
    """Refuse inputs the pipeline does not have, and name those that are missing.

    Args:
        given: inputs of the run.
        known: parameter names, and whether each has a default.
        pipeline: its name, for the message.
    """
    unknown = sorted(set(given) - set(known))
    missing = sorted(name for name, has_default in known.items() if not has_default and name not in given)
    if unknown or missing:
        parts = [f"has no input {', '.join(unknown)}"] if unknown else []
        parts += [f"needs the input {', '.join(missing)}"] if missing else []
        raise InvalidPipelineInputError(
            f"the pipeline {pipeline} {' and '.join(parts)}. Its inputs are: {', '.join(known) or 'none'}.",
            subject=f"pipeline:{pipeline}",
        )


def check_plain(given: Mapping[str, object]) -> None:
    """Refuse inputs that cannot wait in a queue: only JSON travels to the worker that will run them.

    Raises:
        InvalidPipelineInputError: with the way out.
    """
    for name, value in given.items():
        try:
            canonical_json(value)
        except NotCanonicalError as error:
            raise InvalidPipelineInputError(
                f"the input {name} is a {type(value).__qualname__}, which cannot wait for a worker. Add rows as a dataset and pass"
                ' its reference, `"flights@v3"`; of files pass a path that the worker sees.',
                path=f"$.{name}",
            ) from error


def convert_value(name: str, value: object, hint: Any) -> object:  # noqa: ANN401 - any annotation a user may write
    """Return a plain value in its declared type, reading `"80"` as 80 where an int is declared.

    Raises:
        InvalidPipelineInputError: it does not fit.
    """
    if isinstance(value, str) and (hint is str or hint is None):
        warn_of_path(name, value)
    if hint is None or hint is Any or not isinstance(value, str | int | float | bool | list | dict | None):
        return value
    try:
        return msgspec.convert(value, hint, strict=False)
    except msgspec.ValidationError as error:
        raise InvalidPipelineInputError(f"the input {name}: {error}.", path=f"$.{name}") from error
    except TypeError:
        return value  # an annotation that msgspec does not know checks nothing


def warn_of_path(name: str, value: str) -> None:
    """Warn when a text names an existing file: its content is not part of any cache key."""
    if len(value) < 1024 and ("/" in value or "." in value) and "\n" not in value and Path(value).is_file():  # noqa: PLR2004 - no path is longer in practice
        warnings.warn(
            f"the input {name}={value!r} is a path: an edit of that file will not be noticed. Declare the parameter as"
            " everloop.File to count its content.",
            PathInputWarning,
            stacklevel=3,
        )
