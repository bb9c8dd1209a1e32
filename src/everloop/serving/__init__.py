"""Answer predictions: deployments, the gateway process, the prediction log, labels, rollout rules.

Start with `service.py` for the verbs, `gateway.py` for the process, `routing.py` and `rules.py` for the decisions. Tests:
tests/unit/serving, tests/integration/test_gateway.py.
"""

from everloop.serving.records import CanaryFacts, CanaryLimits, CanaryVerdict, Routing
from everloop.serving.rules import canary_verdict
from everloop.serving.service import Serving

__all__ = ["CanaryFacts", "CanaryLimits", "CanaryVerdict", "Routing", "Serving", "canary_verdict"]
