"""Equal estimators have equal bytes, whatever process made them."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import skops.io
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from everloop.registry.flavors.skops_canonical import canonical

PROGRAM = """
import numpy as np
from sklearn.ensemble import RandomForestClassifier
from everloop.core.digests import digest_bytes
from everloop.registry.flavors.sklearn import save
rows = np.random.default_rng(0).normal(size=(60, 3))
junk = [object() for _ in range({junk})]
estimator = RandomForestClassifier(5, random_state=1).fit(rows, rows[:, 0] > 0)
print(digest_bytes(save(estimator)["model.skops"]))
"""


def _digest(junk: int) -> str:
    run = [sys.executable, "-W", "ignore", "-c", PROGRAM.format(junk=junk)]
    return subprocess.run(run, check=True, capture_output=True, text=True).stdout


def test_two_processes_give_one_model_one_digest() -> None:
    assert _digest(0) == _digest(12_345)


def test_the_canonical_form_loads_as_the_same_model() -> None:
    rows = np.random.default_rng(0).normal(size=(50, 2))
    estimator = make_pipeline(StandardScaler(), LogisticRegression()).fit(rows, rows[:, 0] > 0)
    again = skops.io.loads(canonical(skops.io.dumps(estimator)))
    assert np.array_equal(again.predict_proba(rows), estimator.predict_proba(rows))


def test_the_canonical_form_is_its_own_canonical_form() -> None:
    content = canonical(skops.io.dumps(LogisticRegression()))
    assert canonical(content) == content
