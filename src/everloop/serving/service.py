"""The verbs of serving: deploy, share traffic, roll back, pause; labels; the log as tables.

A change writes the next routing document; gateways watch for it and swap without losing a request (`gateway.py`). Tests:
tests/unit/serving/test_service.py, tests/integration/test_gateway.py.
"""

from __future__ import annotations

import builtins
import time
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

import msgspec
import sqlalchemy as sa

from everloop.core.actors import current_actor
from everloop.core.clock import to_microseconds
from everloop.core.digests import Digest
from everloop.core.errors import ConflictError, InvalidInputError, NotFoundError, UnavailableError
from everloop.kernel.operations import Service, operation
from everloop.serving import prediction_log, queries, tables
from everloop.serving.frames import SegmentWriter
from everloop.serving.prediction_log import LabelFrame, LabelRequest, log_folder
from everloop.serving.records import GatewayState, LogPart, Route, Routing
from everloop.serving.routing import reassign

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import numpy as np
    import pyarrow as pa
    from numpy.typing import NDArray

    from everloop.kernel.operations import Kernel
    from everloop.registry.service import Registry

# A gateway that has not been heard of for so long is gone.
GATEWAY_GONE_AFTER = timedelta(seconds=10)
_POLL_S = 0.02


class DeploymentNotFoundError(NotFoundError):
    """No deployment has this name."""

    code = "serving.not-found"


class NothingToRollBackError(ConflictError):
    """A deployment has no earlier version to go back to."""

    code = "serving.nothing-to-roll-back"


class NotServedError(UnavailableError):
    """No gateway serves the newest routing in time."""

    code = "serving.not-served"


class MisalignedLabelsError(InvalidInputError):
    """Labels, ids and times differ in number."""

    code = "serving.misaligned-labels"


class Serving(Service):
    """Puts model versions at an address and keeps what they answered."""

    stage = "serving"

    def __init__(self, kernel: Kernel, *, registry: Registry) -> None:
        super().__init__(kernel)
        self._registry = registry

    def deploy(self, deployment: str, ref: str, *, reason: str = "") -> Routing:
        """Let one version, `delays@v7` or `delays@champion`, answer everything at a deployment; make it on first use."""
        version = self._registry.get(ref)
        return self.set_routes(
            deployment,
            model=version.model,
            weights={version.version: 1.0},
            reason=reason or f"deploy {version.ref}",
        )

    def set_weights(self, deployment: str, weights: Mapping[int, float], *, reason: str = "") -> Routing:
        """Share a deployment's traffic between versions of its model.

        Args:
            deployment: its name.
            weights: share of each version, summing to 1; keys that are served keep their version where they can.
            reason: kept with the change.
        """
        return self.set_routes(
            deployment, model=self.get(deployment).model, weights=dict(weights), reason=reason
        )

    def score(self, ref: str, table: object) -> NDArray[np.float64]:
        """Return a version's predictions for a table, in this process and unlogged."""
        return self._registry.score(ref, table)

    def predictions(self, deployment: str, start: datetime, end: datetime) -> pa.Table:
        """Return logged predictions with start <= time < end, each id once, by time.

        Columns: id, time, logged_at, deployment, version, model_digest, the features, prediction, latency_us of the request,
        request_rows: how many rows it had.
        """
        parts = self.parts(deployment, kind="predictions", start=start, end=end)
        return queries.predictions(self._paths(parts), start, end)

    def failures(self, deployment: str, start: datetime, end: datetime) -> dict[int, int]:
        """Return by version how many rows with start <= time < end its model failed on, each try counted.

        Requests that do not fit the signature are the client's fault and are not among them.
        """
        parts = self.parts(deployment, kind="failures", start=start, end=end)
        return queries.failures(self._paths(parts), start, end)

    def labelled(
        self, deployment: str, start: datetime, end: datetime, *, known_by: datetime | None = None
    ) -> pa.Table:
        """Return the predictions that have a label, beside it: label, label_text, label_time, known_at.

        Args:
            deployment: its name.
            start: the predictions' time from here.
            end: to before here.
            known_by: only labels known by then; the newest of several counts.
        """
        parts = self.parts(deployment, kind="predictions", start=start, end=end)
        labels = self.parts(deployment, kind="labels", start=start, end=known_by)
        return queries.labelled(self._paths(parts), self._paths(labels), start, end, known_by)

    def flush(self) -> int:
        """Turn what the gateways of this machine have logged into parts; return the number of rows.

        Connected to a server nothing is done: the home is there, and its scheduler does it.
        """
        return 0 if self.kernel.is_remote else prediction_log.convert(self.kernel)

    def wait_until_served(self, deployment: str, *, timeout_s: float = 30.0) -> builtins.list[GatewayState]:
        """Return when every live gateway serves the newest routing.

        Raises:
            NotServedError: none does in time, or a gateway could not load a version; the message has its reason.
        """
        generation = self.get(deployment).generation
        until = time.monotonic() + timeout_s
        while True:
            states = self.gateways(deployment)
            if states and all(state.generation >= generation for state in states):
                return states
            failed = next((state for state in states if state.error), None)
            if failed is not None or time.monotonic() > until:
                why = failed.error if failed else "no gateway answered in time; is `everloop up` running?"
                raise NotServedError(
                    f"{deployment} is not served at generation {generation}: {why}", subject=deployment
                )
            time.sleep(_POLL_S)

    @operation(
        "PUT /deployments/{deployment}/routes",
        needs="deployment.route",
        emits="deployment.routed",
        cli="deploy",
    )
    def set_routes(
        self, deployment: str, *, model: str, weights: dict[int, float], reason: str = ""
    ) -> Routing:
        """Set which versions of a model answer at a deployment, and their shares.

        Args:
            deployment: its name; made on first use.
            model: name of the model.
            weights: share of each version, summing to 1.
            reason: kept with the change.
        """
        routes = [
            Route(version=number, digest=self._registry.find(model, str(number)).digest, weight=share)
            for number, share in weights.items()
            if share > 0
        ]
        with self.kernel.catalog.transaction(durable=True) as connection:
            present = queries.routing(connection, deployment, lock=True)
            spans = present.spans if present is not None and present.model == model else []
            return self._write(
                connection,
                deployment,
                present,
                model=model,
                routes=routes,
                spans=reassign(spans, weights),
                reason=reason,
            )

    @operation(
        "POST /deployments/{deployment}/rollback",
        needs="deployment.route",
        emits="deployment.rolled_back",
        cli="deploy rollback",
    )
    def rollback(self, deployment: str, *, reason: str = "") -> Routing:
        """Give all traffic back to the version that last served it alone: of a canary the main version."""
        with self.kernel.catalog.transaction(durable=True) as connection:
            present = self._present(connection, deployment)
            before = queries.last_alone(connection, present)
            if before is None:
                raise NothingToRollBackError(
                    f"{deployment} has no earlier version to go back to.", subject=deployment
                )
            return self._write(
                connection,
                deployment,
                present,
                model=before.model,
                routes=before.routes,
                spans=before.spans,
                reason=reason or f"roll back to v{before.main_version}",
            )

    @operation(
        "PUT /deployments/{deployment}/features",
        needs="deployment.route",
        emits="deployment.features_set",
        cli="deploy features",
    )
    def set_features(self, deployment: str, *, views: builtins.list[str], reason: str = "") -> Routing:
        """Let requests give only the keys of feature views: the gateway looks the features up, and logs them.

        Args:
            deployment: its name.
            views: `weather` or `weather@v2`; without a version the newest materialised one is named from here on. Empty
                for none.
            reason: kept with the change.

        Raises:
            NotMaterializedError: a view has no online rows.
        """
        from everloop.data.features.lookup import Lookup

        lookup = Lookup(self.kernel)
        refs = [lookup.rows(view, lambda _: []).view for view in views]
        with self.kernel.catalog.transaction(durable=True) as connection:
            present = self._present(connection, deployment)
            if present.features == refs:
                self.unchanged()
                return present
            return self._write(connection, deployment, present, features=refs, reason=reason)

    @operation(
        "POST /deployments/{deployment}/pause",
        needs="deployment.pause",
        emits="deployment.paused",
        cli="deploy pause",
    )
    def pause(self, deployment: str, *, reason: str = "") -> Routing:
        """Let a deployment answer 503 until it is resumed."""
        return self._set_paused(deployment, reason, is_paused=True)

    @operation(
        "POST /deployments/{deployment}/resume",
        needs="deployment.pause",
        emits="deployment.resumed",
        cli="deploy resume",
    )
    def resume(self, deployment: str, *, reason: str = "") -> Routing:
        """Let a paused deployment answer again."""
        return self._set_paused(deployment, reason, is_paused=False)

    @operation("GET /deployments/{deployment}", needs="deployment.read", cli="deploy show")
    def get(self, deployment: str) -> Routing:
        """Return the routing in force."""
        with self.kernel.catalog.read() as connection:
            return self._present(connection, deployment, lock=False)

    @operation("GET /deployments", needs="deployment.read", cli="deploy ls")
    def list(self, *, limit: int = 100, after: str = "") -> builtins.list[Routing]:
        """Return the routing of each deployment, by name; `after` is the name the last page ended with."""
        found = tables.deployment
        query = sa.select(found.c.routing).where(found.c.name > after).order_by(found.c.name).limit(limit)
        with self.kernel.catalog.read() as connection:
            return [*connection.execute(query).scalars().all()]

    @operation("GET /deployments/{deployment}/history", needs="deployment.read", cli="deploy history")
    def history(self, deployment: str, *, limit: int = 100) -> builtins.list[Routing]:
        """Return the routings of a deployment, newest first."""
        found = tables.deployment_routing
        query = sa.select(found.c.routing).where(found.c.deployment == deployment)
        with self.kernel.catalog.read() as connection:
            return [
                *connection.execute(query.order_by(found.c.generation.desc()).limit(limit)).scalars().all()
            ]

    @operation("GET /deployments/{deployment}/gateways", needs="deployment.read", cli="deploy gateways")
    def gateways(self, deployment: str) -> builtins.list[GatewayState]:
        """Return what each live gateway serves of a deployment."""
        found = tables.gateway_state
        with self.kernel.catalog.read() as connection:
            since = self.kernel.catalog.now(connection) - GATEWAY_GONE_AFTER
            query = sa.select(found).where(found.c.deployment == deployment, found.c.seen_at > since)
            return [GatewayState(**row._mapping) for row in connection.execute(query)]  # noqa: SLF001 - SQLAlchemy's public name

    @operation(
        "GET /deployments/{deployment}/parts",
        needs="prediction.read",
        cli=None,
        cli_reason="parts are read by `predictions` and `labelled`",
    )
    def parts(
        self,
        deployment: str,
        *,
        kind: str = "predictions",
        start: datetime | None = None,
        end: datetime | None = None,
    ) -> builtins.list[LogPart]:
        """Return the parts of a deployment's log that touch a span of time, after collecting what was logged here.

        Args:
            deployment: its name.
            kind: `predictions`, `failures` or `labels`.
            start: only parts with something at or after this time.
            end: only parts with something at or before this time.
        """
        self.flush()
        with self.kernel.catalog.read() as connection:
            return queries.parts(connection, deployment, kind, start, end)

    @operation(
        "POST /deployments/{deployment}/labels",
        needs="label.create",
        emits="label.received",
        cli="predict label",
    )
    def label(
        self,
        deployment: str,
        *,
        ids: builtins.list[str],
        labels: builtins.list[bool | int | float | str | None],
        times: builtins.list[datetime] = [],  # noqa: B006 - never changed; a value for the API's document
        known_at: datetime | None = None,
    ) -> int:
        """Keep labels of logged predictions, in bulk; return their number.

        Args:
            deployment: its name.
            ids: prediction ids.
            labels: one for each id; a later label of the same id replaces it.
            times: when each label happened.
            known_at: when they became known; now by default.
        """
        self.get(deployment)
        request = LabelRequest(ids=ids, labels=labels, times=times, known_at=known_at)
        frame = label_frame(request, msgspec.json.encode(request), self.kernel.clock.now())
        writer = SegmentWriter(log_folder(self.kernel.home, deployment), "labels")
        writer.append(frame)
        writer.close()
        with self.kernel.catalog.transaction() as connection:
            self.emit(connection, subject=f"deployment:{deployment}", payload={"labels": len(ids)})
        return len(ids)

    def _paths(self, parts: Sequence[LogPart]) -> builtins.list[str]:
        return [str(self.kernel.objects.path(Digest(part.digest))) for part in parts]

    def _present(self, connection: sa.Connection, deployment: str, *, lock: bool = True) -> Routing:
        found = queries.routing(connection, deployment, lock=lock)
        if found is None:
            raise DeploymentNotFoundError(
                f"there is no deployment {deployment}; make it with `everloop deploy {deployment} MODEL@VERSION`.",
                subject=f"deployment:{deployment}",
            )
        return found

    def _set_paused(self, deployment: str, reason: str, *, is_paused: bool) -> Routing:
        with self.kernel.catalog.transaction(durable=True) as connection:
            present = self._present(connection, deployment)
            if present.is_paused == is_paused:
                self.unchanged()
                return present
            return self._write(connection, deployment, present, is_paused=is_paused, reason=reason)

    def _write(
        self,
        connection: sa.Connection,
        deployment: str,
        present: Routing | None,
        **changes: Any,  # noqa: ANN401 - fields of Routing
    ) -> Routing:
        kept = msgspec.structs.asdict(present) if present else {"deployment": deployment}
        generation = present.generation + 1 if present else 1
        new = Routing(
            **{
                **kept,
                **changes,
                "generation": generation,
                "set_at": self.kernel.clock.now(),
                "actor": current_actor().name,
            }
        )
        queries.write_routing(connection, new)
        payload = {
            "generation": new.generation,
            "model": new.model,
            "weights": {f"v{route.version}": route.weight for route in new.routes},
            "paused": new.is_paused,
            "features": new.features,
            "reason": new.reason,
        }
        event = self.emit(connection, subject=f"deployment:{deployment}", payload=payload)
        for route in new.routes:
            source = f"model:{new.model}@v{route.version}"
            self.kernel.events.link(
                connection, source=source, verb="serves", target=f"deployment:{deployment}", event=event
            )
        return new


def label_frame(request: LabelRequest, body: bytes, now: datetime) -> bytes:
    """Return the frame of a delivery of labels.

    Raises:
        MisalignedLabelsError: there is not one label, or one time, for each id.
    """
    count = len(request.ids)
    lengths = {"labels": len(request.labels), "times": len(request.times) or count}
    if isinstance(request.known_at, builtins.list):
        lengths["known_at"] = len(request.known_at)
    for name, length in lengths.items():
        if length != count:
            raise MisalignedLabelsError(f"{name} has {length} values for {count} ids.", path=f"$.{name}")
    return msgspec.msgpack.encode(LabelFrame(to_microseconds(now), body))
