"""Personal data in tables: found by patterns, checksums and names of columns, and masked into derived versions.

Tests: tests/unit/data/personal.
"""
