"""What a flavor offers. A flavor is a module with these names. Contract suite: `everloop.testing.flavors`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import numpy as np
    import pyarrow as pa
    from numpy.typing import NDArray

    from everloop.registry.encoding import Encoding, Matrix
    from everloop.registry.records import Output, Scalar, Signature


class Predictor(Protocol):
    """Runs one loaded model on encoded rows.

    Threads may share a predictor. It uses one thread for a call. It never changes its input. A row's answer does not
    depend on the rows beside it.

    Attributes:
        inline_rows: up to so many rows a call is short enough (some 100 µs) to run on an event loop.
    """

    inline_rows: int

    def predict(self, matrix: Matrix) -> NDArray[np.float64]:
        """Return one number a row (n,), or for several classes (n, classes)."""
        ...

    def contributions(self, matrix: Matrix) -> NDArray[np.float64]:
        """Return additive contributions to the margin (n, k + 1), the base last.

        Raises:
            NotExplainableError: this model has no native explanation.
        """
        ...


class Flavor(Protocol):
    """Saves and loads models of one library in its own safe format; never pickle. Stateless."""

    NAME: str
    ENCODING: Encoding
    TAKES_MISSING: bool
    """Whether every model takes missing values in any column."""

    def save(self, estimator: Any) -> dict[str, bytes]:  # noqa: ANN401 - any library's model
        """Return the model's files by name."""
        ...

    def load(self, files: Mapping[str, bytes]) -> object:
        """Return the library's own object, to train on or look into."""
        ...

    def predictor(self, files: Mapping[str, bytes], signature: Signature) -> Predictor:
        """Return what runs the model; must not need the whole library when a lighter way exists."""
        ...

    def categories(self, estimator: Any, example: pa.Table) -> dict[str, list[Scalar]]:  # noqa: ANN401 - any library's model
        """Return the category tables the model was trained with, by column."""
        ...

    def output(
        self,
        estimator: Any,  # noqa: ANN401 - any library's model
        *,
        target: str,
        positive: Scalar | None,
        classes: Sequence[Scalar],
    ) -> Output:
        """Return what the model answers."""
        ...

    def mlflow_flavor(self, files: Mapping[str, bytes]) -> dict[str, dict[str, object]]:
        """Return the `flavors` section of an `MLmodel` file."""
        ...
