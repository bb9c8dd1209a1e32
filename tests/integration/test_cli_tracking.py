"""`everloop runs` and `everloop sync` as a user types them, and the same through a server."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import click
import pytest
from click.testing import CliRunner, Result

import everloop
from everloop.cli import everloop as command
from everloop.cli.runs_show import NotOneError
from everloop.tracking.search.language import FilterError

if TYPE_CHECKING:
    from pathlib import Path

    from tests.integration.conftest import Server

pytestmark = pytest.mark.integration


def run(folder: Path, *arguments: object) -> Result:
    result = CliRunner().invoke(command, ["--home", str(folder / "home"), *map(str, arguments)])
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result


def test_a_run_made_offline_is_sent_by_one_command(tmp_path: Path) -> None:
    with everloop.connect(home=tmp_path / "home") as app:
        with app.tracking.start(experiment="far", name="away", offline=True) as active:
            active.log(loss=0.5)
        assert app.tracking.list() == []

    sent = run(tmp_path, "-o", "json", "sync")
    assert [(one["run"], one["status"], one["points"]) for one in json.loads(sent.stdout)] == [
        (active.id, "sent", 1)
    ]
    assert json.loads(run(tmp_path, "-o", "json", "sync").stdout) == []
    shown = json.loads(run(tmp_path, "-o", "json", "runs", "show", active.id).stdout)
    assert (shown["name"], shown["status"], shown["metrics"][0]["value"]) == ("away", "finished", 0.5)


def test_runs_are_edited_charted_deleted_and_taken_back(tmp_path: Path) -> None:
    with everloop.connect(home=tmp_path / "home") as app, app.tracking.start(experiment="e") as active:
        for step in range(100):
            active.log(loss=1 / (step + 1))
    edited = run(tmp_path, "-o", "json", "runs", "edit", active.id, "--name", "best", "--tag", "who=ada")
    assert json.loads(edited.stdout)["tags"] == {"who": "ada"}
    chart = json.loads(
        run(tmp_path, "-o", "json", "runs", "chart", "loss", active.id, "--buckets", 10).stdout
    )
    assert sum(bucket["points"] for bucket in chart) == 100
    run(tmp_path, "runs", "rm", active.id)
    assert json.loads(run(tmp_path, "-o", "json", "runs", "ls").stdout) == []
    run(tmp_path, "runs", "restore", active.id)
    assert len(json.loads(run(tmp_path, "-o", "json", "runs", "ls").stdout)) == 1


def test_experiments_are_made_named_deleted_and_taken_back(tmp_path: Path) -> None:
    run(tmp_path, "runs", "new-experiment", "old", "--tag", "team=risk")
    run(tmp_path, "runs", "edit-experiment", "old", "--name", "new", "--remove-tag", "team")
    run(tmp_path, "runs", "rm-experiment", "new")
    assert json.loads(run(tmp_path, "-o", "json", "runs", "experiments").stdout) == []
    listed = json.loads(run(tmp_path, "-o", "json", "runs", "experiments", "--deleted").stdout)
    assert [one["name"] for one in listed] == ["new"]
    run(tmp_path, "runs", "restore-experiment", "new")
    assert json.loads(run(tmp_path, "-o", "json", "runs", "experiments").stdout)[0]["runs"] == 0


def test_a_wrong_tag_is_refused_with_its_form(tmp_path: Path) -> None:
    result = run(tmp_path, "runs", "new-experiment", "e", "--tag", "team")
    assert result.exit_code == 2
    assert "NAME=VALUE" in result.output


def test_a_server_takes_charts_and_values_like_a_home(api_server: Server, tmp_path: Path) -> None:
    with everloop.connect(api_server.url, token=api_server.token, spool_dir=str(tmp_path / "spool")) as app:
        with app.tracking.start(experiment="remote") as active:
            for step in range(1_000):
                active.log(loss=float(step), odd=float("inf"))
        found = app.tracking.get_run(active.id)
        [chart] = app.tracking.chart([active.id], name="loss", buckets=10)
        assert {metric.name: metric.count for metric in found.metrics} == {"loss": 1_000, "odd": 1_000}
        assert (chart.points, chart.greatest[-1]) == (1_000, 999.0)
        assert {point.mark for point in app.tracking.history(active.id, name="odd")} == {"inf"}
        assert app.tracking.delete_run(active.id).deleted_at is not None


def test_a_program_whose_server_is_away_ends_well_and_its_values_come_later(
    tmp_path: Path, api_server: Server
) -> None:
    with everloop.connect("http://127.0.0.1:9", token="x", spool_dir=str(tmp_path / "spool")) as app:
        run_ = app.tracking.start(experiment="away", offline=False)
        run_.log(loss=1.0)
        run_._courier._patience_s = 0.1  # type: ignore[attr-defined] # a test need not wait ten seconds
        run_.finish()
    with everloop.connect(api_server.url, token=api_server.token, spool_dir=str(tmp_path / "spool")) as app:
        assert [one.status for one in app.tracking.sync()] == ["sent"]
        assert app.tracking.get_run(run_.id).metrics[0].value == 1.0


def test_runs_are_searched_counted_grouped_and_kept_as_a_view(tmp_path: Path) -> None:
    with everloop.connect(home=tmp_path / "home") as app:
        for at in range(4):
            with app.tracking.start(experiment="e", params={"model": "lgbm" if at % 2 else "xgb"}) as active:
                active.log(auc=at / 4)
    found = run(
        tmp_path,
        "-o",
        "json",
        "runs",
        "search",
        "metrics.auc > 0.1",
        "--order",
        "metrics.auc desc",
        "--column",
        "metrics.auc",
    )
    assert [one["metrics.auc"] for one in json.loads(found.stdout)] == [0.75, 0.5, 0.25]
    assert json.loads(run(tmp_path, "-o", "json", "runs", "count", "params.model == 'xgb'").stdout) == {
        "runs": 2
    }
    groups = json.loads(
        run(tmp_path, "-o", "json", "runs", "group", "params.model", "--figure", "max(metrics.auc)").stdout
    )
    assert {one["params.model"]: one["max(metrics.auc)"] for one in groups} == {"lgbm": 0.75, "xgb": 0.5}
    facets = json.loads(run(tmp_path, "-o", "json", "runs", "facets", "params.model").stdout)
    assert [one["runs"] for one in facets] == [2, 2]
    fields = json.loads(run(tmp_path, "-o", "json", "runs", "columns").stdout)
    assert [one["field"] for one in fields] == ["metrics.auc", "params.model"]
    run(tmp_path, "runs", "save-view", "best", "--filter", "metrics.auc > 0.5", "--order", "metrics.auc desc")
    assert json.loads(run(tmp_path, "-o", "json", "runs", "views").stdout)[0]["name"] == "best"
    run(tmp_path, "runs", "rm-view", "best")
    with pytest.raises(FilterError, match="column 14"):
        run(tmp_path, "runs", "search", "metrics.auc >")


def test_what_runs_showed_and_printed_is_listed_saved_and_compared(tmp_path: Path) -> None:
    with everloop.connect(home=tmp_path / "home") as app:
        ids = []
        for lr in (0.1, 0.2):
            with app.tracking.start(name=f"lr {lr}", params={"lr": lr}) as active:
                active.log(sample=everloop.media.Image(b"\x89PNG123"), said="hello", step=5)
                click.echo("out of memory")
                click.echo("oh no", err=True)
            ids.append(active.id)
    listed = json.loads(run(tmp_path, "-o", "json", "runs", "media", ids[0]).stdout)
    assert [(one["name"], one["step"], one["kind"]) for one in listed] == [
        ("said", 5, "text"),
        ("sample", 5, "image"),
    ]
    saved = run(tmp_path, "runs", "media", ids[0], "--name", "sample", "--step", 5, "--save", tmp_path)
    assert saved.exit_code == 0, saved.stderr
    assert (tmp_path / "sample-5.png").read_bytes() == b"\x89PNG123"
    with pytest.raises(NotOneError, match="2 fit"):
        run(tmp_path, "runs", "media", ids[0], "--save", tmp_path)
    printed = run(tmp_path, "runs", "output", ids[0], "--follow")
    assert (printed.stdout, printed.stderr) == ("out of memory\n", "oh no\n")
    lines = json.loads(
        run(tmp_path, "-o", "json", "runs", "output", ids[0], "--search", "OH", "--tail", 5).stdout
    )
    assert [(line["number"], line["stream"]) for line in lines] == [(1, "stderr")]
    rows = json.loads(run(tmp_path, "-o", "json", "runs", "compare", *ids).stdout)
    assert {"field": "params.lr", "lr 0.1": 0.1, "lr 0.2": 0.2} in rows
    found = json.loads(
        run(tmp_path, "-o", "json", "runs", "search", '"memory" in output and params.lr > 0.1').stdout
    )
    assert [one["id"] for one in found] == ids[1:]


def test_media_and_output_come_through_a_server(api_server: Server, tmp_path: Path) -> None:
    with everloop.connect(api_server.url, token=api_server.token, spool_dir=str(tmp_path)) as app:
        with app.tracking.start(console=True) as active:
            active.log(large=everloop.media.Image(b"x" * 200_000), small=[1.0, 2.0], loss=0.5)
            click.echo("over the wire")
        found = {one.name: app.tracking.media_content(one) for one in app.tracking.media(active.id)}
        assert found["large"] == b"x" * 200_000
        assert [line.text for line in app.tracking.output(active.id)] == ["over the wire"]
        assert app.tracking.runs(f"id == '{active.id}'").series("loss")["value"].to_pylist() == [0.5]
