"""Codecs: how the value of a step becomes objects and comes back, one file for each family of values.

`protocol.py` says what a codec is; `artifacts.py` of the stage asks them in turn. Tests: tests/unit/pipelines/test_artifacts.py.
"""
