"""Values and rules without I/O: ids, digests, errors, clock, time windows.

Standard library, msgspec and the BLAKE3 function only. Tests: tests/unit/core, tests/property/test_core.py.
"""
