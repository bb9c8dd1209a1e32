"""statsmodels: `fit` of its models. Tests: tests/unit/autologging/test_statsmodels.py."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from everloop.autologging.training import follow, wrap

if TYPE_CHECKING:
    from everloop.autologging.training import Training

_FIGURES = (
    "aic", "bic", "llf", "rsquared", "rsquared_adj", "prsquared", "fvalue", "f_pvalue", "df_model", "df_resid", "mse_resid", "mse_total", "scale", "nobs",
)  # fmt: skip


def install(module: Any) -> None:
    """Follow the trainings of statsmodels: of classes that exist, and of those that are still imported."""
    base = module.Model

    def init_subclass(cls: type[Any], /, **kwargs: Any) -> None:
        super(base, cls).__init_subclass__(**kwargs)
        _wrap(cls)

    base.__init_subclass__ = classmethod(init_subclass)
    waiting = [base]
    while waiting:
        cls = waiting.pop()
        waiting += cls.__subclasses__()
        _wrap(cls)


def _wrap(cls: Any) -> None:
    if callable(cls.__dict__.get("fit")):
        wrap(cls, "fit", follow("statsmodels", _before, _after))


def _before(training: Training, instance: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
    del args
    training.run.tag(estimator=type(instance).__name__)
    training.params({name: value for name, value in kwargs.items() if isinstance(value, str | int | float)})
    training.params({"formula": getattr(instance, "formula", None), "endog": instance.endog_names})
    training.params({"rows": len(instance.endog)})


def _after(
    training: Training, instance: Any, result: Any, args: tuple[Any, ...], kwargs: dict[str, Any]
) -> None:
    del instance, args, kwargs
    training.metrics({name: _figure(result, name) for name in _FIGURES})
    params = result.params
    names = getattr(params, "index", None)
    names = result.model.exog_names if names is None else names
    training.safely(training.importance, list(names), list(params), kind="coefficient")
    training.run.log(summary=str(result.summary()))


def _figure(result: Any, name: str) -> float | None:
    try:
        return float(getattr(result, name))
    except (AttributeError, TypeError, ValueError, NotImplementedError):  # how models say that they have none
        return None
