"""Options of a kind of source: those that its opener names, and no others."""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING, TypeVar

from everloop.data.connectors.errors import UnknownOptionError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

Opened = TypeVar("Opened")


def call(
    opener: Callable[..., Opened], source: object, options: Mapping[str, object], *, name: str
) -> Opened:
    """Return `opener(source, **options)`.

    Raises:
        UnknownOptionError: the opener takes no option of that name.
    """
    parameters = inspect.signature(opener).parameters.values()
    known = [found.name for found in parameters if found.kind is inspect.Parameter.KEYWORD_ONLY]
    takes_more = any(found.kind is inspect.Parameter.VAR_KEYWORD for found in parameters)
    unknown = sorted(set(options) - set(known))
    if unknown and not takes_more:
        shown = [option for option in known if option != "types"]
        raise UnknownOptionError(
            f"{name} takes no option {unknown[0]}. "
            + (f"It takes: {', '.join(shown)}." if shown else "It takes no options."),
            subject=name,
            details={"unknown": unknown, "known": shown},
        )
    return opener(source, **options)
