"""Everloop: the closed machine-learning loop in one install.

    import everloop as el

    app = el.connect()

Names load on first use, so that the import costs milliseconds.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from everloop.core import version as _version

__version__ = _version.VERSION

# Public name -> module that holds it.
_PUBLIC = {
    "App": "everloop.app",
    "connect": "everloop.app",
    "runs": "everloop.app",
    "autolog": "everloop.autologging.patching",
    "Table": "everloop.data.table",
    "sql": "everloop.data.sql",
    "Suite": "everloop.data.records",
    "Quota": "everloop.data.retention.records",
    "RetentionRule": "everloop.data.retention.records",
    "FeatureView": "everloop.data.features.records",
    "File": "everloop.pipelines.inputs",
    "step": "everloop.pipelines.steps",
    "pipeline": "everloop.pipelines.steps",
    "when": "everloop.pipelines.control",
    "repeat": "everloop.pipelines.control",
    "approve": "everloop.pipelines.control",
    "log": "everloop.tracking",
    "current_run": "everloop.tracking",
    "Model": "everloop.registry.model",
    "Condition": "everloop.registry.records",
    "Gate": "everloop.registry.records",
    "Policy": "everloop.loop.records",
    "Rollout": "everloop.loop.records",
    "Trigger": "everloop.loop.records",
    "Watch": "everloop.loop.records",
    "EverloopError": "everloop.core.errors",
}
_MODULES = {"check": "everloop.data.checks", "media": "everloop.tracking.media"}

__all__ = [
    "App",
    "Condition",
    "EverloopError",
    "FeatureView",
    "File",
    "Gate",
    "Model",
    "Policy",
    "Quota",
    "RetentionRule",
    "Rollout",
    "Suite",
    "Table",
    "Trigger",
    "Watch",
    "__version__",
    "approve",
    "autolog",
    "check",
    "connect",
    "current_run",
    "log",
    "media",
    "pipeline",
    "repeat",
    "runs",
    "sql",
    "step",
    "when",
]

if TYPE_CHECKING:
    from everloop.app import App, connect, runs
    from everloop.autologging import autolog
    from everloop.core.errors import EverloopError
    from everloop.data import checks as check
    from everloop.data.features.records import FeatureView
    from everloop.data.records import Suite
    from everloop.data.retention.records import Quota, RetentionRule
    from everloop.data.sql import sql
    from everloop.data.table import Table
    from everloop.loop.records import Policy, Rollout, Trigger, Watch
    from everloop.pipelines.control import approve, repeat, when
    from everloop.pipelines.inputs import File
    from everloop.pipelines.steps import pipeline, step
    from everloop.registry.model import Model
    from everloop.registry.records import Condition, Gate
    from everloop.tracking import current_run, log, media


def __getattr__(name: str) -> object:
    """Import a public name on first use."""
    import importlib

    if name in _PUBLIC:
        found: object = getattr(importlib.import_module(_PUBLIC[name]), name)
    elif name in _MODULES:
        found = importlib.import_module(_MODULES[name])
    else:
        raise AttributeError(f"module 'everloop' has no attribute {name!r}")
    globals()[name] = found
    return found


def __dir__() -> list[str]:
    """Return the public names."""
    return sorted(__all__)
