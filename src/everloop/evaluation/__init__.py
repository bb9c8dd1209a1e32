"""Judge models: metrics with intervals, paired comparisons, calibration, a constant baseline.

Start with `service.py` for the verbs, `comparison.py` for two models, `metrics.py` for the figures. Tests:
tests/unit/evaluation, tests/property/test_evaluation.py.
"""

from everloop.evaluation.comparison import compare
from everloop.evaluation.intervals import estimate
from everloop.evaluation.records import Comparison, Estimate, EvaluationReport, Verdict
from everloop.evaluation.service import Evaluation

__all__ = ["Comparison", "Estimate", "Evaluation", "EvaluationReport", "Verdict", "compare", "estimate"]
