"""Find labels that are likely wrong, by confident learning.

Source: Northcutt, Jiang and Chuang, Confident Learning: Estimating Uncertainty in Dataset Labels, JAIR 70 (2021), sections 3.1
and 3.2. A row is confidently of class j when its probability of j, by a model that did not see it, is at least the mean of
that probability over the rows labelled j. Rows that are confidently of another class than their label are suspects, the
more so the lower the probability of the label is below the best other one. Tests: tests/unit/data/test_label_errors.py.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

from everloop.core.errors import MissingExtraError
from everloop.data.one_column import FOLDS

if TYPE_CHECKING:
    from collections.abc import Sequence

    from everloop.data.one_column import Ints

Floats: TypeAlias = NDArray[np.float64]
_MOST_CATEGORIES = 200


class Suspects(NamedTuple):
    """Rows whose label is likely wrong, the most likely first.

    Attributes:
        rows: positions.
        classes: the likely class of each.
        margins: probability of the label minus that of the likely class, below zero for most.
    """

    rows: Ints
    classes: Ints
    margins: Floats


def confident_suspects(probabilities: Floats, labels: Ints) -> Suspects:
    """Return the rows that are confidently of another class than their label.

    Args:
        probabilities: (n, k), out of fold; rows sum to 1.
        labels: n class numbers below k.
    """
    n, k = probabilities.shape
    shown = [labels == number for number in range(k)]
    thresholds = np.array(
        [probabilities[which, number].mean() if which.any() else np.inf for number, which in enumerate(shown)]
    )
    is_confident = probabilities >= thresholds
    likely = np.where(is_confident, probabilities, -1.0).argmax(axis=1)
    own = probabilities[np.arange(n), labels]
    suspects = np.flatnonzero(is_confident.any(axis=1) & (likely != labels))
    margins = own[suspects] - probabilities[suspects, likely[suspects]]
    order = np.argsort(margins, kind="stable")
    return Suspects(suspects[order], likely[suspects][order].astype(np.int64), margins[order])


def out_of_fold(columns: Sequence[Ints], labels: Ints, folds: Ints, *, seed: int) -> Floats:
    """Return each row's class probabilities by boosted trees on binned columns that did not see the row.

    Args:
        columns: bins of n rows, column by column.
        labels: n class numbers 0 .. k - 1, each there.
        folds: the fold of each row.
        seed: of the trees.

    Raises:
        MissingExtraError: scikit-learn is not installed.
    """
    try:
        from sklearn.ensemble import HistGradientBoostingClassifier
    except ImportError as error:
        raise MissingExtraError(
            "label errors are found with scikit-learn, which is not installed. Install everloop[sklearn]."
        ) from error
    # Trees take at most so many bins; a column with more values is an identity or free text.
    usable = [codes for codes in columns if codes.max(initial=0) < _MOST_CATEGORIES] or [
        np.zeros_like(labels)
    ]
    features = np.stack(usable, axis=1).astype(float)
    found = np.zeros((labels.size, int(labels.max()) + 1))
    for fold in range(FOLDS):
        held = folds == fold
        model = HistGradientBoostingClassifier(max_iter=60, early_stopping=False, random_state=seed)
        model.fit(features[~held], labels[~held])
        found[np.ix_(np.flatnonzero(held), model.classes_.astype(int))] = model.predict_proba(features[held])
    return found
