"""What a gateway serves right now: deployments with their loaded versions, swapped by one assignment.

A version is loaded and checked against its stored answers in a thread before any request can reach it. Requests hold the
deployment they began with, so the old versions drain by themselves. A version that cannot be loaded leaves everything as it
is, and the reason is written where `Serving.wait_until_served` finds it. Tests: tests/integration/test_gateway.py.
"""

from __future__ import annotations

import asyncio
import functools
import logging
import time
from typing import TYPE_CHECKING

import sqlalchemy as sa

from everloop.core.errors import EverloopError
from everloop.registry.service import load_model
from everloop.serving import tables
from everloop.serving.batching import Batcher
from everloop.serving.decoding import RequestDecoder
from everloop.serving.routing import bucket, version_at

if TYPE_CHECKING:
    from collections.abc import Callable
    from concurrent.futures import Executor
    from datetime import datetime

    from everloop.kernel.operations import Kernel
    from everloop.registry.model import Model
    from everloop.serving.filling import Filler
    from everloop.serving.frames import SegmentWriter
    from everloop.serving.records import Routing

_LOG = logging.getLogger(__name__)
_LOOK_EVERY_S = 0.05
_HEARTBEAT_S = 2.0
_TRY_AGAIN_S = 5.0


class Variant:
    """One loaded version: decoder, encoder, predictor, batcher."""

    def __init__(self, digest: str, model: Model, executor: Executor) -> None:
        self.digest = digest
        self.model = model
        self.signature = model.signature
        self.encoder = model.encoder
        self.decoder = RequestDecoder(model.signature)
        self.batcher = Batcher(model.predictor, executor)


class Live:
    """One deployment as it is served. Never changes; a swap makes another.

    Attributes:
        variants: by version.
        main: the version with the largest share; its signature decodes requests.
        single: that version when it has all traffic, else None.
        log: where answered requests go.
        failures: opens the segment where failed ones go; most gateways never need it.
        filler: fills in features that requests leave out, None where no feature view is named.
    """

    def __init__(
        self,
        routing: Routing,
        variants: dict[int, Variant],
        log: SegmentWriter,
        failures: Callable[[], SegmentWriter],
        filler: Filler | None = None,
    ) -> None:
        self.filler = filler
        self.routing = routing
        self.name = routing.deployment
        self.variants = variants
        self.main = routing.main_version
        self.single = self.main if len(routing.routes) == 1 else None
        self.log = log
        self.failures = failures

    def version_for(self, key: str) -> int:
        """Return the version that answers a key."""
        return self.single or version_at(self.routing.spans, bucket(self.name, key))


class Watcher:
    """Follows the routing documents of the catalog for one gateway.

    Attributes:
        live: what is served, by name; read it once a request.
        errors: why a deployment could not follow, by name.
    """

    def __init__(self, kernel: Kernel, gateway: str, executor: Executor, logs: Logs) -> None:
        self.live: dict[str, Live] = {}
        self.errors: dict[str, str] = {}
        self.is_ready = False
        self._kernel = kernel
        self._gateway = gateway
        self._executor = executor
        self._logs = logs
        self._failed: dict[str, tuple[int, float]] = {}
        self._told_at = 0.0

    async def run(self) -> None:
        """Follow until cancelled."""
        while True:
            try:
                await self.look()
            except EverloopError as error:
                _LOG.warning("catalog not read", extra={"reason": str(error)})
            await asyncio.sleep(_LOOK_EVERY_S)

    async def look(self) -> None:
        """Take over what has changed since the last look."""
        generations = await asyncio.to_thread(self._generations)
        changed = [name for name, generation in generations.items() if self._must_follow(name, generation)]
        for name in changed:
            await self._follow(name)
        for name in set(self.live) - set(generations):
            del self.live[name]
        self.is_ready = True
        if changed or time.monotonic() - self._told_at > _HEARTBEAT_S:
            self._told_at = time.monotonic()
            await asyncio.to_thread(self._tell)

    def _must_follow(self, name: str, generation: int) -> bool:
        live = self.live.get(name)
        if live is not None and live.routing.generation == generation:
            return False
        failed = self._failed.get(name)
        return failed is None or failed[0] != generation or time.monotonic() - failed[1] > _TRY_AGAIN_S

    async def _follow(self, name: str) -> None:
        routing = await asyncio.to_thread(self._routing, name)
        try:
            variants = {route.version: await self._variant(name, route.digest) for route in routing.routes}
        except Exception as error:  # noqa: BLE001 - a model that cannot be loaded must not stop the gateway
            self._failed[name] = (routing.generation, time.monotonic())
            self.errors[name] = f"{type(error).__name__}: {error}"
            _LOG.error("version not loaded", extra={"deployment": name, "reason": str(error)})
            return
        failures = functools.partial(self._logs.get, name, "failures")
        log = self._logs.get(name, "predictions")
        self.live[name] = Live(routing, variants, log, failures, self._filler(routing, variants))
        self.errors.pop(name, None)
        self._failed.pop(name, None)

    async def _variant(self, name: str, digest: str) -> Variant:
        known = self._known(name, digest)
        return known if known is not None else await asyncio.to_thread(self._load, digest)

    def _filler(self, routing: Routing, variants: dict[int, Variant]) -> Filler | None:
        if not routing.features:
            return None
        from everloop.data.features.lookup import Lookup
        from everloop.serving.filling import Filler

        inputs = {name for variant in variants.values() for name in variant.signature.features}
        return Filler(Lookup(self._kernel), routing.features, inputs)

    def _known(self, name: str, digest: str) -> Variant | None:
        live = self.live.get(name)
        return next((v for v in live.variants.values() if v.digest == digest), None) if live else None

    def _load(self, digest: str) -> Variant:
        model = load_model(self._kernel, digest)
        model.check_parity()
        return Variant(digest, model, self._executor)

    def _generations(self) -> dict[str, int]:
        query = sa.select(tables.deployment.c.name, tables.deployment.c.generation)
        with self._kernel.catalog.read() as connection:
            return {row.name: row.generation for row in connection.execute(query)}

    def _routing(self, name: str) -> Routing:
        query = sa.select(tables.deployment.c.routing).where(tables.deployment.c.name == name)
        with self._kernel.catalog.read() as connection:
            found: Routing = connection.execute(query).scalar_one()
        return found

    def _tell(self) -> None:
        state = tables.gateway_state
        with self._kernel.catalog.transaction() as connection:
            now = self._kernel.catalog.now(connection)
            connection.execute(sa.delete(state).where(state.c.gateway == self._gateway))
            rows = [self._state(name, now) for name in {*self.live, *self.errors}]
            if rows:
                connection.execute(state.insert(), rows)

    def _state(self, name: str, now: datetime) -> dict[str, object]:
        live = self.live.get(name)
        generation = live.routing.generation if live else 0
        error = self.errors.get(name, "")
        return {
            "gateway": self._gateway,
            "deployment": name,
            "generation": generation,
            "error": error,
            "seen_at": now,
        }


class Logs:
    """The segments a gateway writes, one for each deployment and kind, opened on first use."""

    def __init__(self, kernel: Kernel) -> None:
        self._home = kernel.home
        self._writers: dict[tuple[str, str], SegmentWriter] = {}

    def get(self, deployment: str, kind: str) -> SegmentWriter:
        """Return the writer of a deployment's `predictions`, `failures` or `labels`."""
        from everloop.serving.frames import SegmentWriter
        from everloop.serving.prediction_log import log_folder

        key = (deployment, kind)
        if key not in self._writers:
            self._writers[key] = SegmentWriter(log_folder(self._home, deployment), kind)
        return self._writers[key]

    def close(self) -> None:
        """Sync and close them all."""
        for writer in self._writers.values():
            writer.close()
