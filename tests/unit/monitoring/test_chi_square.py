"""The upper tail of the noncentral chi-square law agrees with SciPy's."""

from __future__ import annotations

import pytest
from scipy.stats import chi2, ncx2

from everloop.monitoring.chi_square import upper_gamma, upper_tail


@pytest.mark.parametrize("freedom", [1, 2, 7, 49, 99, 999])
@pytest.mark.parametrize("noncentrality", [0.3, 5.0, 55.0, 300.0, 7_000.0])
@pytest.mark.parametrize("deviations", [-5, -2, 0, 1, 3, 6])
def test_the_tail_agrees_with_scipy(freedom: int, noncentrality: float, deviations: int) -> None:
    statistic = freedom + noncentrality + deviations * (2 * (freedom + 2 * noncentrality)) ** 0.5
    expected = float(ncx2.sf(statistic, freedom, noncentrality)) if statistic > 0 else 1.0
    found = upper_tail(statistic, freedom=freedom, noncentrality=noncentrality)
    assert found == pytest.approx(expected, rel=1e-9, abs=1e-14)


@pytest.mark.parametrize(("statistic", "freedom"), [(0.1, 1), (3.84, 1), (60.0, 50), (400.0, 99), (5.0, 200)])
def test_without_noncentrality_it_is_the_central_law(statistic: float, freedom: int) -> None:
    found = upper_tail(statistic, freedom=freedom, noncentrality=0.0)
    assert found == pytest.approx(float(chi2.sf(statistic, freedom)), rel=1e-10)


def test_the_gamma_function_has_its_known_value() -> None:
    assert upper_gamma(1.0, 2.0) == pytest.approx(0.1353352832366127, rel=1e-12)


def test_nothing_is_below_zero() -> None:
    assert upper_tail(0.0, freedom=3, noncentrality=1.0) == 1.0
