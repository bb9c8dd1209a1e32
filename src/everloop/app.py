"""Composition: settings -> kernel -> stages. `everloop.connect()` returns the app, embedded or remote.

Stages are made on first use, so that a program which only logs a run does not pay for the others. Tests: tests/integration/test_remote.py,
tests/unit/test_app.py.
"""

from __future__ import annotations

import sys
from functools import cached_property
from typing import TYPE_CHECKING, Any, Self

from everloop.kernel import Kernel, RemoteKernel, open_kernel
from everloop.kernel.settings import load_settings
from everloop.kernel.shared_clock import SharedClock

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence
    from datetime import datetime
    from pathlib import Path
    from types import TracebackType

    import pyarrow as pa
    import sqlalchemy as sa

    from everloop.alerting import Alerting
    from everloop.core.clock import Clock
    from everloop.core.digests import Digest
    from everloop.data.service import Data
    from everloop.evaluation.service import Evaluation
    from everloop.explanation.service import Explanation
    from everloop.kernel.operations import Service
    from everloop.kernel.system import System
    from everloop.loop.service import Loop
    from everloop.monitoring.service import Monitoring
    from everloop.pipelines.service import Pipelines
    from everloop.registry.service import Registry
    from everloop.serving.service import Serving
    from everloop.tracking import Tracking
    from everloop.tracking.comparing import RunTable

STAGES = (
    "system", "data", "tracking", "pipelines", "evaluation", "explanation", "registry", "serving", "alerting", "monitoring", "loop",
)  # fmt: skip


# What stands above the stages and keeps objects of its own.
EDGES = ("mlflow_api",)


class App:
    """Every stage over one kernel.

    Attributes:
        kernel: catalog, objects, events, clock and settings; of a remote app only settings, clock and objects.
    """

    def __init__(self, kernel: Kernel) -> None:
        self.kernel = kernel

    @cached_property
    def system(self) -> System:
        """Return state, events and objects of the home."""
        from everloop.kernel.system import System

        stages = [*(stage for stage in STAGES if stage != "system"), *EDGES]
        return System(
            self.kernel, roots=[self._roots_of(stage) for stage in stages], expire=[self._expire_data]
        )

    @cached_property
    def data(self) -> Data:
        """Return datasets, versions, checks."""
        from everloop.data.service import Data

        return Data(self.kernel)

    @cached_property
    def tracking(self) -> Tracking:
        """Return experiments and runs."""
        from everloop.tracking import Tracking

        return Tracking(self.kernel)

    @cached_property
    def pipelines(self) -> Pipelines:
        """Return pipelines, schedules and their runs."""
        from everloop.pipelines.service import Pipelines

        return Pipelines(self.kernel, data=self.data, tracking=self.tracking)

    @cached_property
    def evaluation(self) -> Evaluation:
        """Return measures and comparisons."""
        from everloop.evaluation.service import Evaluation

        return Evaluation(self.kernel)

    @cached_property
    def explanation(self) -> Explanation:
        """Return attributions."""
        from everloop.explanation.service import Explanation

        return Explanation(self.kernel)

    @cached_property
    def registry(self) -> Registry:
        """Return models, versions, aliases, gates."""
        from everloop.registry.service import Registry

        return Registry(self.kernel, evaluation=self.evaluation, explanation=self.explanation)

    @cached_property
    def serving(self) -> Serving:
        """Return deployments, predictions, labels."""
        from everloop.serving.service import Serving

        return Serving(self.kernel, registry=self.registry)

    @cached_property
    def alerting(self) -> Alerting:
        """Return alerts and channels."""
        from everloop.alerting import Alerting

        return Alerting(self.kernel)

    @cached_property
    def monitoring(self) -> Monitoring:
        """Return windows, drift, performance."""
        from everloop.monitoring.service import Monitoring

        return Monitoring(
            self.kernel, data=self.data, registry=self.registry, serving=self.serving, alerting=self.alerting
        )

    @cached_property
    def loop(self) -> Loop:
        """Return policies and cycles."""
        from everloop.loop.service import Loop

        return Loop(
            self.kernel,
            data=self.data,
            pipelines=self.pipelines,
            registry=self.registry,
            serving=self.serving,
            monitoring=self.monitoring,
            alerting=self.alerting,
        )

    @property
    def services(self) -> list[Service]:
        """Return every stage."""
        return [getattr(self, stage) for stage in STAGES]

    def _roots_of(self, stage: str) -> Callable[[sa.Connection], Iterable[tuple[Digest, str]]]:
        """Return what yields the objects of a stage: `reach.roots` where objects name others, else `tables.roots`."""

        def roots(connection: sa.Connection) -> Iterable[tuple[Digest, str]]:
            import importlib
            from importlib.util import find_spec

            found: Iterable[tuple[Digest, str]] = ()
            if find_spec(f"everloop.{stage}.reach") is not None:
                reach = importlib.import_module(f"everloop.{stage}.reach")
                found = reach.roots(connection, self.kernel.objects)
            elif find_spec(f"everloop.{stage}.tables") is not None:
                tables = importlib.import_module(f"everloop.{stage}.tables")
                found = tables.roots(connection) if hasattr(tables, "roots") else ()
            return found

        return roots

    def _expire_data(self, dry_run: bool) -> tuple[list[str], list[str]]:  # noqa: FBT001 - the form that `System` asks for
        from everloop.data.reach import expire

        ended = expire(self.kernel, dry_run=dry_run)
        return ended.trashed, ended.purged

    def tick(self) -> None:
        """Make one pass of everything that acts by itself: schedules, followed feature views, prediction logs, windows, cycles, alerts.

        The scheduler calls it every second; a replay calls it when it has moved the clock. Any number of processes may
        call it: each piece of work is claimed in the catalog.
        """
        self.pipelines.tick()
        self.data.tick()
        self.serving.flush()
        self.monitoring.tick()
        self.loop.tick()
        self.alerting.tick()
        self.kernel.events.seal()

    def close(self) -> None:
        """Bring home what runs logged, seal the events, close the connections, and end the idle worker processes of pipelines."""
        courier = sys.modules.get("everloop.tracking.courier")
        if courier is not None and "tracking" in self.__dict__:
            courier.leave_all(self.tracking)
        self.kernel.close()
        executor = sys.modules.get("everloop.pipelines.executors.process")
        if executor is not None:
            executor.close_idle_workers()

    def __enter__(self) -> Self:
        """Return the app itself."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close the app."""
        self.close()


def connect(
    url: str | None = None,
    *,
    home: str | Path | None = None,
    token: str | None = None,
    clock: Clock | None = None,
    simulate_from: datetime | None = None,
    **settings: Any,  # noqa: ANN401 - fields of Settings
) -> App:
    """Open Everloop: the home on this machine, or a running server.

    Args:
        url: address of a server, `http://127.0.0.1:8787`; by default `EVERLOOP_URL`, and without it the local home.
        home: folder of the home; by default the nearest `.everloop` upward of the working folder.
        token: the server's secret; by default `EVERLOOP_TOKEN`.
        clock: the time to live in; for tests.
        simulate_from: make a home in simulated time that starts here; one that exists keeps its time.
        **settings: fields of `Settings`, which win over the file and the environment.

    Returns:
        The app; it has the same stages and methods in both cases.

    Raises:
        InvalidSettingError, NewerSchemaError, CatalogUnavailableError: as named.
    """
    chosen = load_settings(url=url, home=home, token=token, **settings)
    if chosen.url and home is None:
        from everloop.kernel.operations.transport import Transport

        return App(RemoteKernel(chosen, Transport(chosen.url, chosen.token)))
    if simulate_from is not None:
        SharedClock.create(chosen.home / "clock", simulate_from)
    return App(open_kernel(chosen, clock=clock))


def runs(
    filter: str = "",  # noqa: A002 - the word for it
    *,
    order_by: list[str] | None = None,
    columns: list[str] | None = None,
    **where: Any,  # noqa: ANN401 - what `connect` takes
) -> RunTable:
    """Return the runs that a filter chooses: `everloop.runs("metrics.auc > 0.9").to_pandas()`.

    Args:
        filter: which runs; see the guide to tracking.
        order_by: fields to sort by, like `metrics.auc desc`; newest first by default.
        columns: fields beside id, name, experiment, status and times; all params, tags and metrics by default.
        **where: as for `connect`, when it is not the home of this folder.

    Raises:
        FilterError: with the column of the first wrong character.
    """
    from everloop.tracking.comparing import RunTable

    def series(ids: Sequence[str], name: str) -> pa.Table:
        with connect(**where) as app:
            return app.tracking.series_table(ids, name)

    with connect(**where) as app:
        return RunTable(app.tracking.table(filter, order_by=order_by, columns=columns), series)
