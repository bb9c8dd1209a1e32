"""How the models of each library are recognised, saved, loaded, run and explained; one file a library.

A new flavor is one module that offers the `Flavor` protocol and a line in `FLAVORS`; it must pass
`everloop.testing.flavors`. Modules load on first use. Tests: tests/contract/test_flavors.py.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, cast

from everloop.core.errors import InvalidInputError

if TYPE_CHECKING:
    from everloop.registry.flavors.protocol import Flavor

# Name of the flavor, and the packages whose types it takes.
FLAVORS: dict[str, tuple[str, ...]] = {"lightgbm": ("lightgbm",), "sklearn": ("sklearn",)}


class UnsupportedModelError(InvalidInputError):
    """No flavor takes this model; pickle is refused."""

    code = "registry.unsupported-model"


def flavor_of(estimator: object) -> Flavor:
    """Return the flavor that takes an estimator, by the package of its type and of the types it derives from.

    Raises:
        UnsupportedModelError: none does.
    """
    packages = {base.__module__.partition(".")[0] for base in type(estimator).__mro__}
    for name, taken in FLAVORS.items():
        if packages & set(taken):
            return flavor_named(name)
    raise UnsupportedModelError(
        f"a {type(estimator).__module__}.{type(estimator).__name__} has no safe file format here, and pickle is refused "
        f"because loading it runs code. Models of {', '.join(FLAVORS)} are taken.",
        subject=type(estimator).__name__,
    )


def flavor_named(name: str) -> Flavor:
    """Return a flavor by its name.

    Raises:
        UnsupportedModelError: this version of Everloop does not know it.
    """
    if name not in FLAVORS:
        raise UnsupportedModelError(
            f"the model has the flavor {name!r}, which this Everloop does not know ({', '.join(FLAVORS)}). Update it.",
            subject=name,
        )
    return cast("Flavor", importlib.import_module(f"everloop.registry.flavors.{name}"))
