"""Judge models: metrics with intervals, paired comparisons, calibration, a constant baseline.

Start with `service.py` for the verbs, `comparison.py` for two models, `metrics.py` for the figures. Tests:
tests/unit/evaluation, tests/property/test_evaluation.py.
"""
