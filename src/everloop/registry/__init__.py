"""Named models and their immutable versions: signature, flavors, aliases, gates, approvals.

Start with `model.py` (what a step returns), `service.py` (the verbs) and `rules.py` (the gate's decision). A new kind of
model is one file in `flavors/`. Tests: tests/unit/registry, tests/contract/test_flavors.py.
"""

from everloop.registry.model import Model
from everloop.registry.records import Condition, Gate, GateReport, ModelVersion, Signature
from everloop.registry.service import Registry

__all__ = ["Condition", "Gate", "GateReport", "Model", "ModelVersion", "Registry", "Signature"]
