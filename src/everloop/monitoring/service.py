"""The verbs of monitoring, and the pass that closes windows, judges them and tells alerting.

A window goes through: closed (counted, its inputs compared) -> provisional (labels arrive) -> judged -> restated when later
labels change its figures. Each move is one transaction with its event and what alerting hears, claimed by a row that only
one process can move, so any number of processes may tick and be killed. Windows are judged in order. Decisions are in
`rules.py`. Tests: tests/integration/test_monitoring.py.
"""

from __future__ import annotations

import builtins
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

import msgspec
import numpy as np

from everloop.core.actors import Actor, acting_as
from everloop.core.digests import Digest
from everloop.core.durations import parse_duration
from everloop.kernel.operations import Service, operation
from everloop.monitoring import performance, reference, rules, signals, store
from everloop.monitoring.records import (
    DriftReport,
    Judgement,
    Monitor,
    PerformanceReference,
    Reference,
    Signal,
    SkewReport,
    Window,
    WindowFigure,
)
from everloop.serving.service import DeploymentNotFoundError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

    import pyarrow as pa
    import sqlalchemy as sa

    from everloop.alerting import Alerting
    from everloop.data.service import Data
    from everloop.kernel import Kernel
    from everloop.registry.service import Registry
    from everloop.serving.service import Serving

SYSTEM = Actor(name="system:monitoring", roles=frozenset({"admin"}))
# After a long pause so many windows of a model are closed in one pass; the next pass goes on.
_AT_ONCE = 50
_SIGNAL_WINDOWS = 20
_SKEW_WINDOW = timedelta(days=7)


class Monitoring(Service):
    """Watches what deployments are asked, answer, and how right they were."""

    stage = "monitoring"

    def __init__(
        self, kernel: Kernel, *, data: Data, registry: Registry, serving: Serving, alerting: Alerting
    ) -> None:
        super().__init__(kernel)
        self._data = data
        self._registry = registry
        self._serving = serving
        self._alerting = alerting

    @operation("PUT /monitors/{model}", needs="monitor.set", emits="monitor.set", cli="monitor set")
    def set_monitor(self, model: str, *, monitor: Monitor) -> Monitor:
        """Watch a model's deployment; closed windows stay as they were judged.

        Args:
            model: name of the model, and of its deployment.
            monitor: what to watch.
        """
        given = msgspec.convert({**msgspec.structs.asdict(monitor), "model": model}, Monitor)
        rules.check_monitor(given)
        with self.kernel.catalog.transaction(durable=True) as connection:
            if store.put_monitor(connection, given, self.kernel.clock.now()):
                self.emit(connection, subject=f"deployment:{model}", payload=given)
            else:
                self.unchanged()
        return given

    @operation("GET /monitors", needs="monitor.read", cli="monitor ls")
    def monitors(self) -> builtins.list[Monitor]:
        """Return every monitor, by model."""
        with self.kernel.catalog.read() as connection:
            return [found.monitor for found in store.watched(connection)]

    @operation("GET /monitors/{model}/windows", needs="monitor.read", cli="monitor windows")
    def windows(
        self, model: str, *, limit: int = 100, before: datetime | None = None
    ) -> builtins.list[Window]:
        """Return windows, newest first, each with its newest figure; `before` is the end of the last one already seen."""
        with self.kernel.catalog.read() as connection:
            return store.list_windows(connection, model, limit=limit, before=before)

    @operation("GET /monitors/{model}/figures", needs="monitor.read", cli="monitor figures")
    def figures(self, model: str, *, window_end: datetime) -> builtins.list[WindowFigure]:
        """Return every figure of a window, as it was known when it was judged and after each restating."""
        with self.kernel.catalog.read() as connection:
            return store.list_figures(connection, model, window_end)

    @operation("GET /monitors/{model}/drift", needs="monitor.read", cli="monitor drift")
    def drift(self, model: str, *, window_end: datetime | None = None) -> DriftReport:
        """Return the drift report of the window that ended then, or the newest."""
        with self.kernel.catalog.read() as connection:
            digest = store.drift_digest(connection, model, window_end)
        return msgspec.json.decode(self.kernel.objects.get(Digest(digest)), type=DriftReport)

    @operation("GET /dataset-versions/{training}/skews", needs="monitor.read", cli="monitor skew")
    def skew(
        self,
        training: str,
        *,
        deployment: str = "",
        start: datetime | None = None,
        end: datetime | None = None,
        version: str = "",
        delta: float = 0.05,
    ) -> SkewReport:
        """Compare the rows a model was trained on with what its deployment was asked, or with another version.

        Args:
            training: the version trained on.
            deployment: whose logged predictions to compare; give this or `version`.
            start: of the window, by default seven days before its end.
            end: of the window, by default now.
            version: another version in place of a window.
            delta: the Jensen-Shannon distance up to which a shift is harmless.

        Raises:
            NoSkewRowsError: a side has no rows, or both share no column.
        """
        from everloop.monitoring import skew

        if bool(deployment) == bool(version):
            raise skew.NoSkewRowsError(
                f"{training} needs something to be compared with: give deployment= or version=, one of them."
            )
        trained = skew.side_of_table(self._data.read(training))
        if version:
            return skew.compare_sides(trained, skew.side_of_table(self._data.read(version)), delta=delta)
        until = end or self.kernel.clock.now()
        since = start or until - _SKEW_WINDOW
        rows = self._serving.predictions(deployment, since, until)
        name = f"{deployment}, {since:%Y-%m-%d %H:%M} to {until:%Y-%m-%d %H:%M}"
        return skew.compare_sides(trained, skew.side_of_predictions(rows, name=name), delta=delta)

    @operation("GET /monitors/{model}/signals", needs="monitor.read", cli="monitor signals")
    def signals(self, model: str) -> builtins.list[Signal]:
        """Return what is watched of a model, each with its newest figure and state."""
        with self.kernel.catalog.read() as connection:
            watched = self._watched(connection, model)
            windows = store.list_windows(connection, model, limit=_SIGNAL_WINDOWS, before=None)
        return signals.of_windows(watched.monitor, watched.reference, windows)

    @operation("GET /monitors/{model}/reference", needs="monitor.read", cli="monitor reference")
    def reference(self, model: str) -> Reference | None:
        """Return what windows are compared with; None before a version was promoted or deployed."""
        with self.kernel.catalog.read() as connection:
            return self._watched(connection, model).reference

    def rebase(self, model: str, *, version: int) -> Reference:
        """Let a promoted version be what windows are compared with, from now on; the present one again changes nothing.

        The gate's estimate of the version becomes the reference of its performance; without a gate its first matured
        window does. Windows of the version before stay, are still judged, and no longer reach alerting.
        """
        return self._begin(model, version, self.kernel.clock.now())

    def tick(self) -> builtins.list[Window]:
        """Close the windows that have ended, judge and restate those due; return the windows that changed.

        Cost when nothing is due: two queries.
        """
        now = self.kernel.clock.now()
        with acting_as(SYSTEM):
            with self.kernel.catalog.read() as connection:
                watched = store.watched(connection)
            closed = [window for found in watched for window in self._close_due(found, now)]
            with self.kernel.catalog.read() as connection:
                due = store.due(connection, now) if watched else []
            looked = [window for look in due if (window := self._look(look, now)) is not None]
        return [*closed, *looked]

    def _watched(self, connection: sa.Connection, model: str) -> store.Watched:
        found = store.watched(connection, model)
        if not found:
            raise store.MonitorNotFoundError(
                f"the model {model} has no monitor; set one with `everloop monitor set {model}`.",
                subject=f"model:{model}",
            )
        return found[0]

    def _begin(self, model: str, version: int, started_at: datetime) -> Reference:
        self._registry.find(model, str(version))
        gated = self._gated(model, version)
        with self.kernel.catalog.transaction(durable=True) as connection:
            present = store.newest_reference(connection, model)
            if present is not None and present.version == version:
                return present
            made = Reference(
                model=model,
                number=present.number + 1 if present else 1,
                version=version,
                started_at=started_at,
                performance=gated,
            )
            if store.insert_reference(connection, made):
                told = {name: found.estimate.value for name, found in gated.items()}
                payload = {"version": version, "reference": made.number, "performance": told}
                self.emit(connection, kind="monitor.rebased", subject=f"deployment:{model}", payload=payload)
            return store.newest_reference(connection, model) or made

    def _gated(self, model: str, version: int) -> dict[str, PerformanceReference]:
        for report in self._registry.gate_reports(model, version):
            if report.comparisons:
                source = f"gate report {report.id}"
                return {
                    found.metric: PerformanceReference(estimate=found.challenger, source=source)
                    for found in report.comparisons
                    if found.challenger.value is not None
                }
        return {}

    def _adopt(self, model: str) -> Reference | None:
        """Follow a deployment that was routed by hand, without a promotion; None when nothing is deployed."""
        try:
            routing = self._serving.get(model)
        except DeploymentNotFoundError:
            return None
        return self._begin(model, routing.main_version, routing.set_at)

    def _close_due(self, watched: store.Watched, now: datetime) -> Iterator[Window]:
        monitor, base, start = watched
        if base is None or start is None:
            base = self._adopt(monitor.model)
            if base is None:
                return
            start = base.started_at
        for _ in range(_AT_ONCE):
            end = start + parse_duration(monitor.window)
            if end > now:
                return
            window, base = self._close(monitor, base, start, end)
            if window is None:
                return
            yield window
            if window.rows and window.version not in window.versions:
                self._adopt(monitor.model)
                return
            start = end

    def _close(
        self, monitor: Monitor, base: Reference, start: datetime, end: datetime
    ) -> tuple[Window | None, Reference]:
        rows = self._serving.predictions(monitor.model, start, end)
        had_inputs = bool(base.inputs)
        base = self._with_inputs(monitor, base, rows, end) if monitor.drift else base
        window = Window(
            model=monitor.model,
            reference=base.number,
            version=base.version,
            start=start,
            end=end,
            rows=rows.num_rows,
            versions=_versions(rows),
        )
        is_compared = monitor.drift and base.inputs and (had_inputs or "before" in base.inputs_from)
        report = self._compare(monitor, base, window, rows) if is_compared else None
        if report is not None:
            window = msgspec.structs.replace(window, drift=report.verdict, drifted=report.drifted)
        return self._write_closed(base, window, report), base

    def _write_closed(self, base: Reference, window: Window, report: DriftReport | None) -> Window | None:
        digest = "" if report is None else self.kernel.objects.put(msgspec.json.encode(report))
        payload = {
            **_span(window),
            "rows": window.rows,
            "versions": {f"v{version}": rows for version, rows in window.versions.items()},
            "drift": window.drift,
            "drifted": window.drifted,
            "report": digest,
        }
        with self.kernel.catalog.transaction() as connection:
            if not store.close_window(connection, window, next_look=window.end):
                return None
            store.set_inputs(connection, base)
            self.emit(
                connection,
                kind="monitor.window_closed",
                subject=f"deployment:{window.model}",
                payload=payload,
            )
            if report is not None:
                store.insert_drift(connection, window, digest)
                self._alerting.observe(rules.input_observations(report, window))
        return window

    def _with_inputs(self, monitor: Monitor, base: Reference, rows: pa.Table, end: datetime) -> Reference:
        """Return the reference with its inputs: those before the promotion, else those of this window, else none yet."""
        if base.inputs:
            return base
        since = base.started_at - reference.WINDOWS_BEFORE * parse_duration(monitor.window)
        before = self._serving.predictions(monitor.model, since, base.started_at)
        source = f"{before.num_rows} predictions before the promotion, since {since:%Y-%m-%d %H:%M}"
        if before.num_rows < reference.LEAST_ROWS:
            before, source = (
                rows,
                f"{rows.num_rows} predictions of the first window, until {end:%Y-%m-%d %H:%M}",
            )
        if before.num_rows < reference.LEAST_ROWS:
            return base
        signature = self._registry.find(monitor.model, str(base.version)).signature
        digest = self.kernel.objects.put(reference.encode(reference.freeze(before, signature)))
        return msgspec.structs.replace(base, inputs=digest, inputs_from=source)

    def _compare(self, monitor: Monitor, base: Reference, window: Window, rows: pa.Table) -> DriftReport:
        columns = reference.decode(self.kernel.objects.get(Digest(base.inputs)))
        return reference.compare(columns, rows, window=window, reference=base, delta=monitor.delta)

    def _look(self, look: store.Look, now: datetime) -> Window | None:
        monitor, window = look.monitor, look.window
        rows = self._serving.labelled(window.model, window.start, window.end, known_by=now)
        figure = performance.figure(
            rows,
            version=window.version,
            output=self._registry.find(window.model, str(window.version)).signature.output,
            metric=monitor.metric,
            window=monitor.window,
            as_of=now,
        )
        if window.judged_at is not None:
            return self._restate(look, figure, now)
        with self.kernel.catalog.transaction() as connection:
            is_held = store.has_earlier_unjudged(connection, window)
            if is_held or not rules.is_mature(monitor, window, figure.labelled, now):
                waiting = msgspec.structs.replace(window, figure=figure)
                self._move(connection, look, waiting, now)
                return None
            return self._judge(connection, look, figure, now)

    def _judge(
        self, connection: sa.Connection, look: store.Look, figure: WindowFigure, now: datetime
    ) -> Window | None:
        base = store.get_reference(connection, look.reference.model, look.reference.number)
        known = base.performance.get(look.monitor.metric)
        judgement = rules.judge(look.monitor, figure, known.estimate.value if known else None)
        is_first = known is None and judgement.state == "ok"
        judged = msgspec.structs.replace(
            look.window,
            state="insufficient" if judgement.state == "insufficient" else "mature",
            verdict="reference" if is_first else judgement.state,
            reason=judgement.reason,
            figure=figure,
            judged_at=now,
        )
        if not self._move(connection, look, judged, now):
            return None
        store.insert_figure(connection, judged, figure)
        more = {"verdict": judged.verdict, "reason": judged.reason}
        self._tell(connection, "monitor.window_judged", judged, more)
        if is_first:
            store.set_performance(connection, base, _own_performance(judged, figure))
        else:
            self._observe(connection, look, judged, judgement)
        return judged

    def _observe(
        self, connection: sa.Connection, look: store.Look, judged: Window, judgement: Judgement
    ) -> None:
        """Tell alerting, unless the version was replaced since: its windows speak of what no longer serves."""
        newest = store.newest_reference(connection, judged.model)
        if newest is not None and newest.number == judged.reference:
            self._alerting.observe([rules.performance_observation(look.monitor, judged, judgement)])

    def _restate(self, look: store.Look, figure: WindowFigure, now: datetime) -> Window | None:
        """Keep a new figure beside the old one when later labels changed it; the verdict stays as it was known."""
        before = look.window.figure
        has_changed = before is None or (figure.labelled, figure.metrics) != (before.labelled, before.metrics)
        after = msgspec.structs.replace(look.window, figure=figure) if has_changed else look.window
        with self.kernel.catalog.transaction() as connection:
            if not self._move(connection, look, after, now) or not has_changed:
                return None
            store.insert_figure(connection, after, figure)
            self._tell(connection, "monitor.window_restated", after, {})
        return after

    def _move(self, connection: sa.Connection, look: store.Look, after: Window, now: datetime) -> bool:
        labelled = after.figure.labelled if after.figure else 0
        following = rules.next_look(look.monitor, after, labelled, now)
        return store.move_window(connection, after, revision=look.revision, next_look=following)

    def _tell(self, connection: sa.Connection, kind: str, window: Window, more: dict[str, Any]) -> None:
        figure = window.figure
        figures = {name: found.value for name, found in figure.metrics.items()} if figure else {}
        payload = {**_span(window), "labelled": figure.labelled if figure else 0, "figures": figures, **more}
        self.emit(connection, kind=kind, subject=f"deployment:{window.model}", payload=payload)


def _own_performance(window: Window, figure: WindowFigure) -> dict[str, PerformanceReference]:
    source = f"window until {window.end:%Y-%m-%d %H:%M}"
    return {
        name: PerformanceReference(estimate=found, source=source) for name, found in figure.metrics.items()
    }


def _span(window: Window) -> dict[str, object]:
    return {
        "window": [window.start.isoformat(), window.end.isoformat()],
        "version": window.version,
        "reference": window.reference,
    }


def _versions(rows: pa.Table) -> dict[int, int]:
    if not rows.num_rows:
        return {}
    versions, counts = np.unique(rows["version"].to_numpy(), return_counts=True)
    return dict(zip(versions.tolist(), counts.tolist(), strict=True))
