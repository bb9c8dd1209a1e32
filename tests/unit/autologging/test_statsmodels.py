"""Trainings of statsmodels, logged without a line for it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    import pandas as pd
    from tests.unit.autologging.conftest import Logged

pytest.importorskip("statsmodels")


def test_a_fit_has_its_figures_coefficients_and_summary(logged: Logged, rows: pd.DataFrame) -> None:
    import statsmodels.formula.api as formulas

    result = formulas.ols("y ~ good + noise", rows.assign(y=3 * rows["good"] + 1)).fit()
    run = logged.run()
    assert (run.params["formula"], run.tags["estimator"]) == ("y ~ good + noise", "OLS")
    assert logged.metrics()["rsquared"] == pytest.approx(result.rsquared)
    found = dict(zip(*logged.table("feature_coefficient").values(), strict=True))
    assert found["good"] == pytest.approx(3)
    [summary] = logged.app.tracking.media(run.id, name="summary")
    assert "OLS Regression Results" in logged.app.tracking.read_media(summary)
