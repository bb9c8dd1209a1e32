"""scikit-learn: `fit` of every estimator, those of users too; pipelines and searches once, as a whole. Tests: tests/unit/autologging/test_sklearn.py."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from everloop.autologging.training import argument, follow, wrap

if TYPE_CHECKING:
    from everloop.autologging.training import Training

# Their own modules follow these.
_OTHERS = ("lightgbm", "xgboost", "catboost")
_MOST_ROWS = 10_000


def install(module: Any) -> None:
    """Follow the trainings of scikit-learn: of classes that exist, and of those that are still made."""
    base = module.BaseEstimator
    before = base.__init_subclass__.__func__

    def init_subclass(cls: type[Any], /, **kwargs: Any) -> None:
        before(cls, **kwargs)
        _wrap(cls)

    base.__init_subclass__ = classmethod(init_subclass)
    waiting = [base]
    while waiting:
        cls = waiting.pop()
        waiting += cls.__subclasses__()
        _wrap(cls)


def _wrap(cls: Any) -> None:
    if not cls.__module__.startswith(_OTHERS) and callable(cls.__dict__.get("fit")):
        wrap(cls, "fit", follow("sklearn", _before, _after, counts=_answers))


def _answers(instance: Any) -> bool:
    """Say whether an estimator answers; a scaler or an encoder by itself is no model, and libraries use them inside."""
    return hasattr(instance, "predict") or hasattr(instance, "fit_predict")


def _before(training: Training, instance: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
    training.run.tag(estimator=type(instance).__name__)
    given = instance.get_params(deep=True)
    training.params({name: value for name, value in given.items() if not hasattr(value, "get_params")})
    training.data(train=argument(args, kwargs, 0, "X"))


def _after(
    training: Training, instance: Any, result: Any, args: tuple[Any, ...], kwargs: dict[str, Any]
) -> None:
    del result
    rows, target = argument(args, kwargs, 0, "X"), argument(args, kwargs, 1, "y")
    training.safely(_log_search, training, instance)
    if target is not None:
        training.safely(_log_scores, training, instance, rows, target)
    best = getattr(instance, "best_estimator_", instance)
    training.safely(_log_importance, training, best, rows)
    if hasattr(best, "predict"):
        training.model(best, rows, target)


def _log_search(training: Training, search: Any) -> None:
    """Log the result of a grid, random or halving search: the best, and the table of all candidates."""
    found = getattr(search, "cv_results_", None)
    if found is None:
        return
    import pyarrow as pa

    training.params(getattr(search, "best_params_", {}), prefix="best.")
    training.metrics({"best_score": getattr(search, "best_score_", None)})
    columns = {
        name: [str(one) for one in values] if name.startswith("param") else list(map(float, values))
        for name, values in found.items()
    }
    training.run.log({"candidates": pa.table(columns)})


def _log_scores(training: Training, instance: Any, rows: Any, target: Any) -> None:
    """Log how well the training rows are answered; at most 10,000 of them are asked."""
    import numpy as np
    from sklearn import metrics
    from sklearn.base import is_classifier, is_regressor

    rows, truth = rows[:_MOST_ROWS], np.asarray(target)[:_MOST_ROWS]
    if is_regressor(instance):
        answers = instance.predict(rows)
        squared = float(np.mean((truth - answers) ** 2))
        training.metrics(
            {
                "training/mae": metrics.mean_absolute_error(truth, answers),
                "training/mse": squared,
                "training/rmse": squared**0.5,
                "training/r2": metrics.r2_score(truth, answers),
            }
        )
    elif is_classifier(instance):
        answers = instance.predict(rows)
        found = {
            "training/accuracy": metrics.accuracy_score(truth, answers),
            "training/f1": metrics.f1_score(truth, answers, average="weighted"),
        }
        if hasattr(instance, "predict_proba"):
            chances = instance.predict_proba(rows)
            found["training/log_loss"] = metrics.log_loss(truth, chances, labels=instance.classes_)
            if len(instance.classes_) == 2:  # noqa: PLR2004 - two classes
                found["training/roc_auc"] = metrics.roc_auc_score(truth, chances[:, 1])
        training.metrics(found)


def _log_importance(training: Training, estimator: Any, rows: Any) -> None:
    import numpy as np

    last = estimator[-1] if hasattr(estimator, "steps") else estimator
    weights, kind = getattr(last, "feature_importances_", None), "importance"
    if weights is None:
        weights, kind = getattr(last, "coef_", None), "coefficient"
        if weights is not None and np.ndim(weights) > 1:
            weights = weights[0] if len(weights) == 1 else np.abs(weights).mean(axis=0)
    if weights is None:
        return
    names = (
        estimator[:-1].get_feature_names_out()
        if hasattr(estimator, "steps") and len(estimator.steps) > 1
        else getattr(rows, "columns", [f"x{at}" for at in range(len(weights))])
    )
    training.importance(names, np.asarray(weights).tolist(), kind=kind)
