"""Experiments and runs: params, metrics, tags, artifacts, inputs, captured code and environment.

Tests: tests/unit/tracking.
"""

from everloop.tracking.client import ActiveRun, current_run, log
from everloop.tracking.records import Capture, DatasetInput, Run, RunStatus
from everloop.tracking.service import Tracking

__all__ = ["ActiveRun", "Capture", "DatasetInput", "Run", "RunStatus", "Tracking", "current_run", "log"]
