"""Continuous training: one policy for a model, a persisted cycle from trigger to verdict.

Start with `records.py` (what a policy says), `rules.py` (every decision, pure) and `service.py` (the verbs); `stages.py` is what each state of
a cycle does. Tests: tests/unit/loop, tests/integration/test_loop.py.
"""
