"""The `MLmodel` file, so that MLflow loads the folder as one of its own. JSON is YAML, so no YAML writer is needed.

No time and no run id stand in it: the same model has the same bytes. Tests: tests/unit/registry/test_model.py.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

if TYPE_CHECKING:
    from everloop.registry.records import Signature


def mlmodel(signature: Signature, flavors: dict[str, dict[str, object]]) -> bytes:
    """Return the file's content.

    Args:
        signature: inputs and output; MLflow takes them as JSON inside the document.
        flavors: the `flavors` section.
    """
    inputs = [
        {"name": column.name, "type": column.kind, "required": not column.nullable}
        for column in signature.inputs
    ]
    document = {
        "flavors": flavors,
        "signature": {"inputs": _json(inputs), "outputs": _json([{"type": "double", "required": True}])},
    }
    return msgspec.json.format(msgspec.json.encode(document, order="deterministic"), indent=1)


def _json(value: object) -> str:
    return msgspec.json.encode(value, order="deterministic").decode()
