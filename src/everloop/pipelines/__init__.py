"""Steps, graphs, cache keys, the engine, executors and schedules.

Tests: tests/unit/pipelines, tests/contract/test_executors.py, tests/chaos.
"""

from everloop.pipelines.control import approve, repeat, when
from everloop.pipelines.inputs import File
from everloop.pipelines.records import PipelineRun, RunOptions, StepOptions
from everloop.pipelines.service import Pipelines
from everloop.pipelines.steps import Pipeline, Step, pipeline, step

__all__ = [
    "File",
    "Pipeline",
    "PipelineRun",
    "Pipelines",
    "RunOptions",
    "Step",
    "StepOptions",
    "approve",
    "pipeline",
    "repeat",
    "step",
    "when",
]
