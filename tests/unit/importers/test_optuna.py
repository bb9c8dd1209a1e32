"""Studies, as Optuna stores them in a database and in a journal."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from tests.unit.importers.conftest import points

from everloop.importers import bring, open_source
from everloop.importers.records import BadSourceError

if TYPE_CHECKING:
    from pathlib import Path

    from everloop.tracking import Tracking

optuna = pytest.importorskip("optuna")
pytestmark = pytest.mark.filterwarnings("ignore")


def objective(trial: Any) -> float:
    x = trial.suggest_float("x", -1, 1)
    trial.suggest_categorical("kind", ["a", "b"])
    trial.set_user_attr("who", "ada")
    for step in range(3):
        trial.report(x + step, step)
    if trial.number == 2:
        raise ValueError("bad luck")
    if trial.number == 3:
        raise optuna.TrialPruned
    return float(x**2)


@pytest.mark.parametrize("form", ["sqlite", "journal"])
def test_trials_are_runs_with_their_values(tracking: Tracking, tmp_path: Path, form: str) -> None:
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    file = tmp_path / "study"
    storage: Any = f"sqlite:///{file}"
    if form == "journal":
        storage = optuna.storages.JournalStorage(optuna.storages.journal.JournalFileBackend(str(file)))
    study = optuna.create_study(
        storage=storage, study_name="tune", direction="minimize", sampler=optuna.samplers.RandomSampler(1)
    )
    study.optimize(objective, n_trials=5, catch=(ValueError,))
    before = file.read_bytes()

    report = bring(tracking, open_source("optuna", str(file)))

    assert file.read_bytes() == before
    runs = {run.name: run for run in tracking.list(experiment="tune")}
    assert (report.runs, len(runs)) == (5, 5)
    for trial in study.trials:
        run = runs[f"trial {trial.number}"]
        assert run.params == trial.params
        assert (run.tags["optuna.state"], run.tags["who"]) == (trial.state.name.lower(), "ada")
        assert run.created_at.timestamp() == pytest.approx(trial.datetime_start.timestamp())
        found = points(tracking, run.id)
        assert found["intermediate_value"] == [(step, trial.params["x"] + step) for step in range(3)]
        assert found.get("value", []) == [(0.0, value) for value in trial.values or []]
    assert (runs["trial 2"].status, runs["trial 3"].status) == ("failed", "finished")
    assert bring(tracking, open_source("optuna", str(file))).new_runs == 0


def test_a_file_of_another_kind_is_refused(tmp_path: Path) -> None:
    (tmp_path / "x").write_text("not a journal")
    with pytest.raises(BadSourceError, match="cannot be read"):
        list(open_source("optuna", str(tmp_path / "x")).runs())
