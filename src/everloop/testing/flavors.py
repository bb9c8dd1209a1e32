"""What every flavor must keep; call `check_flavor` with a trained estimator of yours.

Used by tests/contract/test_flavors.py.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from everloop.registry.model import Model

if TYPE_CHECKING:
    from collections.abc import Callable

    import pyarrow as pa
    from numpy.typing import NDArray


def check_flavor(model: Model, rows: pa.Table, *, expected: NDArray[np.float64], explains: bool) -> None:
    """Check a flavor's promises on one model.

    Args:
        model: built from a trained estimator.
        rows: at least 20 rows with the features.
        expected: the library's own answers for these rows.
        explains: whether the flavor explains this model.
    """
    _check_same_answers(model, rows, expected)
    _check_round_trip(model, rows)
    _check_rows_are_independent(model, rows)
    _check_no_pickle(model)
    if explains:
        _check_contributions(model, rows)


def _check_same_answers(model: Model, rows: pa.Table, expected: NDArray[np.float64]) -> None:
    np.testing.assert_allclose(model.predict(rows), expected, rtol=1e-9, atol=1e-12)


def _check_round_trip(model: Model, rows: pa.Table) -> None:
    again = Model.from_files(model.files)
    again.check_parity()
    np.testing.assert_array_equal(again.predict(rows), model.predict(rows))
    if again.digest != model.digest or again.signature != model.signature:
        raise AssertionError("a model loaded from its files has another digest or signature")


def _check_rows_are_independent(model: Model, rows: pa.Table) -> None:
    whole = model.predict(rows)
    alone = [model.predict(rows.slice(place, 1))[0] for place in range(rows.num_rows)]
    # A library may sum in another order for one row; more than rounding is another answer.
    np.testing.assert_allclose(
        np.array(alone), whole, rtol=1e-12, err_msg="a row answers otherwise alone than in a batch"
    )


def _check_no_pickle(model: Model) -> None:
    for path, content in model.files.items():
        if content[:1] == b"\x80":
            raise AssertionError(f"{path} begins like a pickle")


def _check_contributions(model: Model, rows: pa.Table) -> None:
    parts = model.contributions(rows)
    if parts.shape != (rows.num_rows, len(model.signature.inputs) + 1):
        raise AssertionError(f"contributions have the shape {parts.shape}")
    link: Callable[[NDArray[np.float64]], NDArray[np.float64]] = _link(model)
    np.testing.assert_allclose(link(parts.sum(axis=1)), model.predict(rows), rtol=1e-6, atol=1e-9)


def _link(model: Model) -> Callable[[NDArray[np.float64]], NDArray[np.float64]]:
    if model.signature.output.kind == "probability":
        return lambda margin: 1 / (1 + np.exp(-margin))
    return lambda margin: margin
