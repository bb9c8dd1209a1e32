"""LightGBM: saved as its own text, run through its C interface, explained by its own contributions.

The predictor needs the shared library only, not the Python package: a gateway starts without pandas and SciPy. A single
row takes the library's fast path (17 µs against 137 µs of `Booster.predict` for 300 trees). `lightgbm_native.py` holds the calls.
Tests: tests/contract/test_flavors.py.
"""

from __future__ import annotations

from importlib.metadata import version
from typing import TYPE_CHECKING, Any, cast

import numpy as np
import pyarrow as pa

from everloop.core.errors import InvalidInputError, MissingExtraError
from everloop.registry.flavors.lightgbm_native import NativeBooster
from everloop.registry.records import Output

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from everloop.registry.encoding import Encoding, Matrix
    from everloop.registry.records import Scalar, Signature

NAME = "lightgbm"
ENCODING: Encoding = "codes"
TAKES_MISSING = True
FILE = "model.txt"

_BINARY = ("binary", "cross_entropy")
_MULTI = ("multiclass", "multiclassova")


class UnclearCategoriesError(InvalidInputError):
    """The booster's category tables cannot be matched to the example's columns."""

    code = "registry.unclear-categories"


def save(estimator: Any) -> dict[str, bytes]:  # noqa: ANN401 - a Booster or one of LightGBM's scikit-learn classes
    """Return the model as LightGBM's text, up to its best iteration."""
    return {FILE: _booster(estimator).model_to_string().encode()}


def load(files: Mapping[str, bytes]) -> object:
    """Return a `lightgbm.Booster`."""
    try:
        import lightgbm
    except ImportError as error:
        raise MissingExtraError(
            'the model is a LightGBM booster, and LightGBM is not installed. Run: pip install "everloop[lightgbm]"'
        ) from error
    return lightgbm.Booster(model_str=files[FILE].decode())


def predictor(files: Mapping[str, bytes], signature: Signature) -> LightGBMPredictor:
    """Return what runs the model."""
    return LightGBMPredictor(NativeBooster(files[FILE], columns=len(signature.inputs)))


def categories(estimator: Any, example: pa.Table) -> dict[str, list[Scalar]]:  # noqa: ANN401 - see `save`
    """Return the tables LightGBM kept from pandas, matched in order to the example's category or text columns.

    Raises:
        UnclearCategoriesError: their numbers differ.
    """
    tables = _booster(estimator).pandas_categorical or []
    names = [field.name for field in example.schema if pa.types.is_dictionary(field.type)]
    if len(names) != len(tables):
        names = [field.name for field in example.schema if _is_text(field.type)]
    if len(names) != len(tables):
        raise UnclearCategoriesError(
            f"the booster was trained with {len(tables)} categorical columns, the example has {len(names)} "
            f"({', '.join(names) or 'none'}). Give an example with the same category columns, or categories={{...}}."
        )
    return dict(zip(names, tables, strict=True))


def output(estimator: Any, *, target: str, positive: Scalar | None, classes: Sequence[Scalar]) -> Output:  # noqa: ANN401 - see `save`
    """Read the kind of answer off the objective."""
    objective = _objective(save(estimator)[FILE])
    known = list(classes) or _classes(estimator)
    if objective in _BINARY:
        return Output(kind="probability", target=target, positive=True if positive is None else positive)
    if objective in _MULTI:
        return Output(kind="probabilities", target=target, classes=known)
    return Output(kind="value", target=target)


def mlflow_flavor(files: Mapping[str, bytes]) -> dict[str, dict[str, object]]:
    """Return what `mlflow.lightgbm` and `mlflow.pyfunc` need to load the text."""
    del files
    own: dict[str, object] = {
        "data": FILE,
        "model_class": "lightgbm.basic.Booster",
        "lgb_version": version("lightgbm"),
    }
    return {"lightgbm": own, "python_function": {"loader_module": "mlflow.lightgbm", "data": FILE}}


class LightGBMPredictor:
    """Runs a booster in one thread; see the head of the file."""

    inline_rows = 16

    def __init__(self, booster: NativeBooster) -> None:
        self._booster = booster

    def predict(self, matrix: Matrix) -> NDArray[np.float64]:
        """Return probabilities or values (n,), or (n, classes)."""
        rows = np.ascontiguousarray(matrix, dtype=np.float64)
        if len(rows) == 1 and self._booster.outputs == 1:
            return self._booster.predict_one(rows)
        found = self._booster.predict_many(rows)
        return found[:, 0] if self._booster.outputs == 1 else found

    def contributions(self, matrix: Matrix) -> NDArray[np.float64]:
        """Return LightGBM's own contributions (path-dependent TreeSHAP), for one output (n, k + 1)."""
        return self._booster.contributions(np.ascontiguousarray(matrix, dtype=np.float64))


def _booster(estimator: Any) -> Any:  # noqa: ANN401 - LightGBM ships no types
    return getattr(estimator, "booster_", estimator)


def _classes(estimator: Any) -> list[Scalar]:  # noqa: ANN401 - see `save`
    found = getattr(estimator, "classes_", None)
    return [] if found is None else cast("list[Scalar]", np.asarray(found).tolist())


def _objective(text: bytes) -> str:
    line = next((line for line in text.split(b"\n", 40) if line.startswith(b"objective=")), b"objective=")
    return line.partition(b"=")[2].split(b" ")[0].decode()


def _is_text(kind: pa.DataType) -> bool:
    return pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_string_view(kind)
