"""Attribute predictions to features: closed form for linear models, native contributions for trees, global importance.

Contributions are additive to the model's margin (log-odds for a classifier). Start with `service.py`. Tests:
tests/unit/explanation.
"""

from everloop.explanation.records import GlobalExplanation, Importance
from everloop.explanation.service import Explanation

__all__ = ["Explanation", "GlobalExplanation", "Importance"]
