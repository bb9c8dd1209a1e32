"""Turn what a caller asks for into artifacts: dataset references to versions, files to contents, params to their types.

Tests: tests/unit/pipelines/test_inputs.py.
"""

from __future__ import annotations

import inspect
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from everloop.pipelines import artifacts
from everloop.pipelines.inputs import FILE, TABLE, File, check_names, convert_value, kind_of
from everloop.pipelines.steps import hints_of
from everloop.tracking import DatasetInput

if TYPE_CHECKING:
    from collections.abc import Mapping

    from everloop.data.table import Table
    from everloop.pipelines.codecs.protocol import Store
    from everloop.pipelines.records import Artifact
    from everloop.pipelines.steps import AnyPipeline
    from everloop.tracking.records import Plain


class TableReader(Protocol):
    """What pipelines need of the data stage."""

    def read(self, ref: str) -> Table:
        """Return the table a reference names, `flights@v3`."""
        ...


@dataclass(frozen=True, kw_only=True)
class Resolved:
    """The inputs of a run by reference, and what the tracked run says about them."""

    artifacts: dict[str, Artifact]
    datasets: list[DatasetInput]
    params: dict[str, Plain]


def resolve(
    pipeline: AnyPipeline, given: Mapping[str, object], *, reader: TableReader, store: Store
) -> Resolved:
    """Store the inputs of a run.

    Raises:
        InvalidPipelineInputError: one is missing, unknown, or does not fit its annotation.
    """
    parameters = inspect.signature(pipeline.function).parameters
    hints = hints_of(pipeline.function)
    check_names(given, {name: p.default is not p.empty for name, p in parameters.items()}, pipeline.name)
    values = {name: given.get(name, parameter.default) for name, parameter in parameters.items()}
    ready = {name: _value(name, value, hints.get(name), reader) for name, value in values.items()}
    found = {name: artifacts.dump(value, store, where=f"the input {name}") for name, value in ready.items()}
    return Resolved(
        artifacts=found,
        datasets=[
            DatasetInput(name=name, ref=str(item.facts["name"]), digest=str(item.facts["content"]))
            for name, item in found.items()
            if item.codec == "table" and item.facts.get("name")
        ],
        params={
            name: value for name, value in ready.items() if isinstance(value, str | int | float | bool | None)
        },
    )


def _value(name: str, value: object, hint: object, reader: TableReader) -> object:
    kind = kind_of(hint)
    if kind == TABLE and isinstance(value, str):
        return reader.read(value)
    if kind == FILE and not isinstance(value, File):
        return File(str(value))
    return convert_value(name, value, hint)
