"""Functions behind checks of kind `python`, known by name in this process.

A check that came from elsewhere names a function and never makes this process import it: only `check.python` and a suite
file that the user reads put functions here, so that nobody runs code on a server by sending a suite. Tests:
tests/unit/data/test_checks.py.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, TypeAlias

from everloop.data.check_kinds import InvalidCheckError

if TYPE_CHECKING:
    from collections.abc import Callable

    from everloop.data.table import Table

    Judge: TypeAlias = Callable[[Table], bool | int]

_known: dict[str, Judge] = {}


def remember(function: Judge) -> str:
    """Return the name a function is known by from now on."""
    plain = name = f"{function.__module__}:{function.__qualname__}"
    number = 1
    while _known.get(name, function) is not function:
        number += 1
        name = f"{plain}#{number}"
    _known[name] = function
    return name


def find(name: str) -> Judge:
    """Return a function that was given in this process.

    Raises:
        InvalidCheckError: none was given under the name.
    """
    if name not in _known:
        raise InvalidCheckError(
            f"python({name}): this process was not given the function, and never imports one by a name that was sent to it. "
            "Make the check with check.python(function) in the process that runs it: `add` runs suites in yours."
        )
    return _known[name]


def load(name: str) -> None:
    """Import a function by its name, for a suite file that the user of this process reads.

    Raises:
        InvalidCheckError: there is no such function.
    """
    module, _, attribute = name.partition(":")
    try:
        found: object = importlib.import_module(module)
        for part in attribute.split("."):
            found = getattr(found, part)
    except (ImportError, AttributeError, ValueError) as error:
        raise InvalidCheckError(
            f"python({name}): {error}. Write module:function of one that can be imported."
        ) from error
    if not callable(found):
        raise InvalidCheckError(f"python({name}) is no function.")
    _known[name] = found


def is_importable(name: str) -> bool:
    """Return whether another process finds this very function by its name."""
    before = _known.get(name)
    if name.startswith("__main__:") or "<" in name or "#" in name:
        return False
    try:
        load(name)
    except InvalidCheckError:
        return False
    return before is None or _known[name] is before
