"""How long versions stay: rules, the trash, purging, quotas.

Tests: tests/unit/data/retention, tests/property/test_retention.py.
"""
