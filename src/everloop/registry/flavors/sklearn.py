"""scikit-learn: saved with skops, loaded with the platform's list of trusted types, never with pickle.

The list of trusted types is ours and never comes from the model (an artifact that names what to trust is no gate). A
plain linear model, bare or behind a StandardScaler, runs as one matrix product (50 times faster for a row) and is
explained in closed form. Tests: tests/contract/test_flavors.py, tests/unit/registry/test_skops_canonical.py.
"""

from __future__ import annotations

from importlib.metadata import version
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from everloop.core.errors import EverloopError, InvalidInputError, MissingExtraError
from everloop.explanation.contributions import linear_contributions
from everloop.registry.flavors.skops_canonical import canonical
from everloop.registry.records import Output

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import pyarrow as pa
    from numpy.typing import NDArray

    from everloop.registry.encoding import Encoding, Matrix
    from everloop.registry.records import Scalar, Signature

NAME = "sklearn"
ENCODING: Encoding = "values"
TAKES_MISSING = False
FILE = "model.skops"

# Types skops does not trust by itself, looked at by us: plain holders of arrays and numbers.
TRUSTED = (
    "sklearn._loss.link.Interval",
    "sklearn._loss.link.LogitLink",
    "sklearn._loss.link.IdentityLink",
    "sklearn._loss.loss.HalfBinomialLoss",
    "sklearn._loss.loss.HalfSquaredError",
    "sklearn._loss._loss.CyHalfBinomialLoss",
    "sklearn._loss._loss.CyHalfSquaredError",
    # Trees are arrays of node numbers: crafted ones could read outside their memory, but run no code. Models come from actors who may register.
    "sklearn.ensemble._hist_gradient_boosting.predictor.TreePredictor",
    "sklearn.tree._tree.Tree",
)
_TWO = 2


class UntrustedTypeError(InvalidInputError):
    """The model holds types that the platform does not trust."""

    code = "registry.untrusted-type"


class NotExplainableError(EverloopError):
    """This model has no native explanation."""

    code = "registry.not-explainable"
    status = 422


def save(estimator: Any) -> dict[str, bytes]:  # noqa: ANN401 - any estimator
    """Return the estimator in the format of skops, in its one form.

    Raises:
        UntrustedTypeError: it holds a type that could not be loaded again.
    """
    io = _skops()
    content = canonical(io.dumps(estimator))
    _check_trust(content)
    return {FILE: content}


def load(files: Mapping[str, bytes]) -> object:
    """Return the estimator.

    Raises:
        UntrustedTypeError: the file names a type outside the platform's list.
    """
    content = files[FILE]
    _check_trust(content)
    return _skops().loads(content, trusted=list(TRUSTED))


def predictor(files: Mapping[str, bytes], signature: Signature) -> SklearnPredictor | LinearPredictor:
    """Return the fused form of a plain linear model, else the estimator itself behind the same protocol."""
    estimator = load(files)
    fused = _fuse(estimator, signature)
    return LinearPredictor(fused, signature) if fused else SklearnPredictor(estimator, signature)


def categories(estimator: Any, example: pa.Table) -> dict[str, list[Scalar]]:  # noqa: ANN401 - any estimator
    """Return none: a scikit-learn pipeline encodes by itself."""
    del estimator, example
    return {}


def output(estimator: Any, *, target: str, positive: Scalar | None, classes: Sequence[Scalar]) -> Output:  # noqa: ANN401 - any estimator
    """Read the kind of answer off the classes."""
    known = [*classes] or _classes(estimator)
    if not known or not hasattr(estimator, "predict_proba"):
        return Output(kind="value", target=target)
    if len(known) == _TWO:
        return Output(
            kind="probability",
            target=target,
            positive=known[1] if positive is None else positive,
            classes=known,
        )
    return Output(kind="probabilities", target=target, classes=known)


def mlflow_flavor(files: Mapping[str, bytes]) -> dict[str, dict[str, object]]:
    """Return what `mlflow.sklearn` needs to load a skops file."""
    del files
    own: dict[str, object] = {
        "pickled_model": FILE,
        "sklearn_version": version("scikit-learn"),
        "serialization_format": "skops",
        "skops_trusted_types": list(TRUSTED),
    }
    return {"sklearn": own, "python_function": {"loader_module": "mlflow.sklearn", "model_path": FILE}}


class SklearnPredictor:
    """Calls the estimator; in a frame when it was fitted on one."""

    inline_rows = 0

    def __init__(self, estimator: Any, signature: Signature) -> None:  # noqa: ANN401 - any estimator
        self._estimator = estimator
        self._signature = signature
        self._positive = _positive_column(estimator, signature)

    def predict(self, matrix: Matrix) -> NDArray[np.float64]:
        """Return probabilities or values (n,), or (n, classes)."""
        rows = self._rows(matrix)
        if self._signature.output.kind == "value":
            return np.asarray(self._estimator.predict(rows), dtype=np.float64)
        found = np.asarray(self._estimator.predict_proba(rows), dtype=np.float64)
        return found if self._positive is None else found[:, self._positive]

    def contributions(self, matrix: Matrix) -> NDArray[np.float64]:
        """Refuse: this kind of model has no native explanation yet."""
        del matrix
        raise NotExplainableError(
            f"a {type(self._estimator).__name__} has no native explanation here; linear models and LightGBM have one."
        )

    def _rows(self, matrix: Matrix) -> object:
        if not hasattr(self._estimator, "feature_names_in_"):
            return matrix
        import pandas as pd

        columns = {
            column.name: _typed(matrix[:, place], column.kind)
            for place, column in enumerate(self._signature.inputs)
        }
        return pd.DataFrame(columns)


class Linear(NamedTuple):
    """A linear margin and whether a logistic link follows."""

    weights: NDArray[np.float64]
    intercept: float
    center: NDArray[np.float64]
    is_logistic: bool


class LinearPredictor:
    """Runs a linear model as one product of a matrix and a vector."""

    inline_rows = 256

    def __init__(self, linear: Linear, signature: Signature) -> None:
        self._linear = linear
        output = signature.output
        self._is_flipped = output.kind == "probability" and output.classes[:1] == [output.positive]

    def predict(self, matrix: Matrix) -> NDArray[np.float64]:
        """Return probabilities or values (n,)."""
        # einsum keeps the order of sums free of the number of rows, so that a row alone and in a batch are bit-equal.
        rows = np.asarray(matrix, dtype=np.float64)
        margin: NDArray[np.float64] = (
            np.einsum("ij,j->i", rows, self._linear.weights) + self._linear.intercept
        )
        if not self._linear.is_logistic:
            return margin
        return 1 / (1 + np.exp(margin if self._is_flipped else -margin))

    def contributions(self, matrix: Matrix) -> NDArray[np.float64]:
        """Return weight times distance from the training mean (0 when it is not known), the base last."""
        return linear_contributions(
            np.asarray(matrix, dtype=np.float64),
            weights=self._linear.weights,
            intercept=self._linear.intercept,
            center=self._linear.center,
        )


def _fuse(estimator: Any, signature: Signature) -> Linear | None:  # noqa: ANN401 - any estimator
    from sklearn.linear_model import LinearRegression, LogisticRegression, Ridge
    from sklearn.pipeline import Pipeline
    from sklearn.preprocessing import StandardScaler

    steps = [step for _, step in estimator.steps] if type(estimator) is Pipeline else [estimator]
    *before, last = steps
    if type(last) not in (LinearRegression, LogisticRegression, Ridge) or np.size(last.intercept_) != 1:
        return None
    if any(column.kind not in ("double", "long") for column in signature.inputs):
        return None
    if [type(step) for step in before] not in ([], [StandardScaler]):
        return None
    return _folded(before, last, len(signature.inputs), is_logistic=type(last) is LogisticRegression)


def _folded(before: list[Any], last: Any, columns: int, *, is_logistic: bool) -> Linear:  # noqa: ANN401 - as `_fuse`
    weights = np.asarray(last.coef_, dtype=np.float64).reshape(-1)
    intercept = float(np.reshape(last.intercept_, -1)[0])
    center = np.zeros(columns)
    if before:
        scaler = before[0]
        center = np.zeros(columns) if scaler.mean_ is None else np.asarray(scaler.mean_)
        weights = weights / (np.ones(columns) if scaler.scale_ is None else np.asarray(scaler.scale_))
        intercept -= float(center @ weights) if scaler.with_mean else 0.0
    return Linear(weights, intercept, center, is_logistic)


def _typed(values: Matrix, kind: str) -> Matrix:
    if values.dtype != object or kind not in ("double", "long"):
        return values
    return np.array(values, dtype=np.float64)


def _classes(estimator: Any) -> list[Scalar]:  # noqa: ANN401 - any estimator
    found = getattr(estimator, "classes_", None)
    return [] if found is None else np.asarray(found).tolist()


def _positive_column(estimator: Any, signature: Signature) -> int | None:  # noqa: ANN401 - any estimator
    if signature.output.kind != "probability":
        return None
    known = _classes(estimator)
    return known.index(signature.output.positive) if signature.output.positive in known else 1


def _check_trust(content: bytes) -> None:
    strange = sorted(set(_skops().get_untrusted_types(data=content)) - set(TRUSTED))
    if strange:
        raise UntrustedTypeError(
            f"the model holds {', '.join(strange)}, which this platform does not trust. Build it from scikit-learn's own parts.",
            details={"types": strange},
        )


def _skops() -> Any:  # noqa: ANN401 - skops ships no types
    try:
        from skops import io
    except ImportError as error:
        raise MissingExtraError(
            'the model is a scikit-learn estimator, and skops is not installed. Run: pip install "everloop[sklearn]"'
        ) from error
    return io
