"""Watch deployments: windows of the prediction log, drift of the inputs, performance with late labels.

Start with `service.py` for the verbs, `rules.py` for the decisions, `drift.py` for the statistics. Tests:
tests/unit/monitoring, tests/property/test_monitoring.py, tests/integration/test_monitoring.py.
"""
