"""Which libraries are followed, from when on. Tests: tests/unit/autologging/test_patching.py."""

from __future__ import annotations

import difflib
import importlib
import logging
import sys
import threading
from typing import TYPE_CHECKING, Any

import wrapt

from everloop.autologging import training
from everloop.autologging.training import Options
from everloop.core.errors import InvalidInputError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from everloop.app import App

_log = logging.getLogger(__name__)

# Library, by the module here that knows it, and the module of it that is waited for.
LIBRARIES = {
    "sklearn": "sklearn.base",
    "lightgbm": "lightgbm",
    "xgboost": "xgboost",
    "catboost": "catboost",
    "torch": "torch.optim",
    "lightning": "lightning.pytorch",
    "pytorch_lightning": "pytorch_lightning",
    "keras": "keras",
    "statsmodels": "statsmodels.base.model",
    "transformers": "transformers.trainer",
}
# Two names of one thing.
_MODULE = {"pytorch_lightning": "lightning"}
_lock = threading.Lock()
_installed: set[str] = set()


class UnknownLibraryError(InvalidInputError):
    """Autolog does not know a library."""

    code = "autolog.unknown-library"


def autolog(
    *,
    app: App | None = None,
    only: Iterable[str] = (),
    log_models: bool = True,
    every: int = 1,
    start_runs: bool = True,
    disable: bool = False,
) -> None:
    """Log what training libraries do from now on; calling again changes the options.

    A training outside every run gets a run of its own. Within a training others are not logged: those of a grid search, for example.

    Args:
        app: where runs start that nobody has started; by default what `connect()` opens.
        only: libraries to follow; all that are known by default: sklearn, lightgbm, xgboost, catboost, torch, lightning, keras,
            statsmodels, transformers.
        log_models: keep the trained model as artifacts `model/...`, with its signature where a safe file format is known.
        every: log each so-many-th iteration, epoch or step; the last one always.
        start_runs: start a run for a training outside every run; otherwise such trainings are left alone.
        disable: follow nothing any more.

    Raises:
        UnknownLibraryError: a name in `only` is none of these.
    """
    wanted = set(only) or set(LIBRARIES)
    for name in sorted(wanted - LIBRARIES.keys()):
        close = difflib.get_close_matches(name, LIBRARIES, 1)
        meant = f" Do you mean {close[0]}?" if close else ""
        raise UnknownLibraryError(
            f"autolog does not know {name}.{meant} It knows {', '.join(LIBRARIES)}.", subject=name
        )
    training.use(
        None
        if disable
        else Options(
            app=app, libraries=wanted, log_models=log_models, every=max(every, 1), start_runs=start_runs
        )
    )
    with _lock:
        for name in () if disable else sorted(wanted - _installed):
            _installed.add(name)
            _follow(name)


def _follow(name: str) -> None:
    module = LIBRARIES[name]
    install = _installer(name)
    if module in sys.modules:
        install(sys.modules[module])
    else:
        wrapt.register_post_import_hook(install, module)


def _installer(name: str) -> Callable[[Any], None]:
    def install(module: Any) -> None:
        try:
            importlib.import_module(f"everloop.autologging.{_MODULE.get(name, name)}").install(module)
        except Exception as error:  # noqa: BLE001 - an import of the user's must not fail
            _log.warning("trainings of %s are not logged: %s: %s", name, type(error).__name__, error)

    return install
