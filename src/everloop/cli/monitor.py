"""`everloop monitor`. Tests: tests/integration/test_monitoring.py."""

from __future__ import annotations

from datetime import UTC
from typing import TYPE_CHECKING, Any

import click

from everloop.cli import output

if TYPE_CHECKING:
    from datetime import datetime

_END = click.DateTime(["%Y-%m-%d", "%Y-%m-%dT%H:%M", "%Y-%m-%dT%H:%M:%S", "%Y-%m-%d %H:%M:%S"])


@click.group()
def monitor() -> None:
    """Watch deployments: windows, drift of the inputs, performance."""


@monitor.command("ls")
def list_monitors() -> None:
    """List what is watched."""
    with output.app() as loop:
        found = loop.monitoring.monitors()
    output.table(
        found, ["model", "metric", "window", "tolerance", "needed", "of", "min_labelled", "drift", "delta"]
    )


@monitor.command("set")
@click.argument("model")
@click.option("--metric", help="log_loss, brier, auc, squared_error or absolute_error.")
@click.option("--window", help="Length of a window, for example 7d.")
@click.option("--tolerance", type=float, help="How much worse than the reference is accepted.")
@click.option("--min-labelled", type=int, help="Labelled rows a window needs.")
@click.option("--max-wait", help="How long after its end a window waits for labels.")
@click.option("--delta", type=float, help="Jensen-Shannon distance up to which a shift is harmless.")
def set_monitor(model: str, **given: Any) -> None:  # noqa: ANN401 - the options above
    """Watch MODEL; an option that is not given keeps its value."""
    import msgspec

    from everloop.monitoring.records import Monitor

    chosen = {name: value for name, value in given.items() if value is not None}
    with output.app() as loop:
        present = {found.model: found for found in loop.monitoring.monitors()}.get(model, Monitor())
        output.record(loop.monitoring.set_monitor(model, monitor=msgspec.structs.replace(present, **chosen)))


@monitor.command()
@click.argument("model")
@click.option("--limit", default=100, show_default=True, help="At most this many.")
def windows(model: str, limit: int) -> None:
    """List the windows of MODEL, newest first, with what was found in each."""
    with output.app() as loop:
        found = loop.monitoring.windows(model, limit=limit)
        monitors = {one.model: one for one in loop.monitoring.monitors()}
    if output.session().form == "json":
        output.table(found, [])
        return
    metric = monitors[model].metric if model in monitors else "log_loss"
    columns = ["start", "end", "version", "rows", "labelled", metric, "low", "high", "verdict", "drifted"]
    rows = []
    for window in found:
        figure = window.figure.metrics.get(metric) if window.figure else None
        rows.append(
            {
                "start": window.start, "end": window.end, "version": window.version, "rows": window.rows,
                "labelled": window.figure.labelled if window.figure else 0,
                metric: figure.value if figure else None, "low": figure.low if figure else None, "high": figure.high if figure else None,
                "verdict": window.verdict or window.state, "drifted": window.drifted,
            }
        )  # fmt: skip
    output.table(rows, columns)


@monitor.command()
@click.argument("model")
@click.option("--window-end", type=_END, help="End of the window, UTC; the newest by default.")
def drift(model: str, window_end: datetime | None) -> None:
    """Show how far the inputs of MODEL are from the reference, the farthest column first."""
    with output.app() as loop:
        report = loop.monitoring.drift(model, window_end=_utc(window_end))
    if output.session().form == "json":
        output.record(report)
        return
    columns = sorted(report.columns, key=lambda column: -(column.distance or 0.0))
    names = [
        "name",
        "verdict",
        "distance",
        "p_value",
        "psi",
        "ks",
        "wasserstein",
        "null_share",
        "unseen_share",
        "rows",
    ]
    output.table(columns, names)
    for told in report.broken:
        output.note(f"broken: {told}")
    output.note(
        f"{report.verdict}: {report.start:%Y-%m-%d %H:%M} to {report.end:%Y-%m-%d %H:%M}, delta {report.delta:g}"
    )


@monitor.command()
@click.argument("training")
@click.option("--deployment", default="", help="Compare with what this deployment was asked.")
@click.option("--start", type=_END, help="Start of the window, UTC; seven days before its end by default.")
@click.option("--end", type=_END, help="End of the window, UTC; now by default.")
@click.option("--version", default="", help="Compare with this dataset version instead.")
@click.option(
    "--delta",
    default=0.05,
    show_default=True,
    help="Jensen-Shannon distance up to which a shift is harmless.",
)
def skew(
    training: str, deployment: str, start: datetime | None, end: datetime | None, version: str, delta: float
) -> None:
    """Compare the dataset version TRAINING with what a deployment is asked; exit code 1 when they differ."""
    with output.app() as loop:
        report = loop.monitoring.skew(
            training, deployment=deployment, start=_utc(start), end=_utc(end), version=version, delta=delta
        )
    if output.session().form == "json":
        output.record(report)
    else:
        columns = sorted(report.columns, key=lambda column: -(column.distance or 0.0))
        names = [
            "name",
            "verdict",
            "distance",
            "p_value",
            "psi",
            "null_share",
            "reference_null_share",
            "unseen_share",
            "rows",
        ]
        output.table(columns, names)
    for told in report.broken:
        output.note(f"broken: {told}")
    for side, only in (("training", report.only_training), ("serving", report.only_serving)):
        if only:
            output.note(f"only in {side}: {', '.join(only)}")
    output.note(
        f"{report.verdict}: {report.training} ({report.training_rows:,} rows) against {report.serving} ({report.serving_rows:,} rows)"
    )
    if report.verdict == "drift":
        raise SystemExit(1)


@monitor.command()
@click.argument("model")
@click.option("--window-end", type=_END, required=True, help="End of the window, UTC.")
def figures(model: str, window_end: datetime) -> None:
    """Show the figures of a window of MODEL as they became known."""
    with output.app() as loop:
        found = loop.monitoring.figures(model, window_end=window_end.replace(tzinfo=UTC))
    if output.session().form == "json":
        output.table(found, [])
        return
    rows = [
        {"as_of": figure.as_of, "labelled": figure.labelled, "metric": name, "value": one.value, "low": one.low, "high": one.high}
        for figure in found
        for name, one in figure.metrics.items()
    ]  # fmt: skip
    output.table(rows, ["as_of", "labelled", "metric", "value", "low", "high"])


@monitor.command()
@click.argument("model")
def signals(model: str) -> None:
    """Show the newest state of everything watched of MODEL."""
    with output.app() as loop:
        found = loop.monitoring.signals(model)
    output.table(found, ["name", "state", "at", "value", "low", "high", "reference", "limit", "reason"])


@monitor.command()
@click.argument("model")
def reference(model: str) -> None:
    """Show what windows of MODEL are compared with, and where it comes from."""
    with output.app() as loop:
        output.record(loop.monitoring.reference(model))


def _utc(moment: datetime | None) -> datetime | None:
    return None if moment is None else moment.replace(tzinfo=UTC)
