"""Datasets of files: trees in shards, compared, merged and read without unpacking them.

Import what you need from its file. Tests: tests/unit/data/files, tests/property/test_trees.py.
"""
