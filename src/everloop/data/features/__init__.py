"""Features: columns of table versions by key and time, joined as they were known at a moment.

Tests: tests/unit/data/features.
"""
