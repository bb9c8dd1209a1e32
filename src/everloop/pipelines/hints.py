"""Whether a value of one annotation can be an argument of another, as far as annotations say.

What is not known fits: only a plain contradiction is refused before anything runs. Tests: tests/unit/pipelines/test_hints.py.
"""

from __future__ import annotations

import types
from typing import Annotated, Any, Union, get_args, get_origin

_NUMBERS: dict[type, tuple[type, ...]] = {float: (int,), complex: (int, float)}


def fits(made: object, wanted: object) -> bool:
    """Return whether a value annotated `made` may be passed where `wanted` is asked for."""
    made, wanted = _bare(made), _bare(wanted)
    for hint, other, is_made in ((made, wanted, True), (wanted, made, False)):
        if get_origin(hint) in (Union, types.UnionType):
            return any(fits(one, other) if is_made else fits(other, one) for one in get_args(hint))
    one, other = get_origin(made) or made, get_origin(wanted) or wanted
    if not (isinstance(one, type) and isinstance(other, type)) or object in (one, other):
        return True
    if one in _NUMBERS.get(other, ()):
        return True
    try:
        is_related = issubclass(one, other) or issubclass(other, one)
    except TypeError:  # a protocol or a typed dict cannot be asked
        return True
    return is_related and _items_fit(get_args(made), get_args(wanted))


def item_of(hint: object) -> object:
    """Return the annotation of a list's items; None when it is not known."""
    hint = _bare(hint)
    arguments = get_args(hint)
    if get_origin(hint) in (Union, types.UnionType) or not arguments:
        return None
    return arguments[0] if len(arguments) == 1 or arguments[1:] == (Ellipsis,) else None


def show(hint: object) -> str:
    """Return an annotation as people write it."""
    return (
        hint.__name__ if isinstance(hint, type) and not get_args(hint) else str(hint).replace("typing.", "")
    )


def _items_fit(made: tuple[Any, ...], wanted: tuple[Any, ...]) -> bool:
    if len(made) != len(wanted) or Ellipsis in made or Ellipsis in wanted:
        return True
    return all(fits(one, other) for one, other in zip(made, wanted, strict=True))


def _bare(hint: object) -> object:
    """Return an annotation without what `Annotated` adds; Any for one that is not there."""
    if hint is None or hint is Any:
        return object
    return _bare(get_args(hint)[0]) if get_origin(hint) is Annotated else hint
