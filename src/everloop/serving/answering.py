"""Answer one prediction request: decode, route, encode, predict, log, encode the answer.

This is the hot path: no pandas, no validation twice, one frame written before the answer leaves. Tests:
tests/integration/test_gateway.py; its cost beside a bare server: benchmarks/gateway.py.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, NamedTuple

import msgspec
import numpy as np

from everloop.core.clock import to_microseconds
from everloop.core.errors import EverloopError
from everloop.serving.prediction_log import FailureFrame, PredictionFrame

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from everloop.core.clock import Clock
    from everloop.registry.encoding import Encoded
    from everloop.serving.decoding import PredictRequest
    from everloop.serving.live import Live, Variant

_encode_frame = msgspec.msgpack.Encoder().encode
_LONGEST_REASON = 500
_encode_answer = msgspec.json.Encoder().encode


class Explained(msgspec.Struct, frozen=True):
    """The contributions to one prediction's margin."""

    base: float
    contributions: dict[str, float]


class Answer(msgspec.Struct, frozen=True, omit_defaults=True):
    """The answer to a prediction request; `versions` only where rows went to several."""

    id: str
    version: int
    predictions: list[float] | list[list[float]]
    versions: list[int] = []
    explanations: list[Explained] = []


class Reply(NamedTuple):
    """An encoded answer and what is told in headers."""

    body: bytes
    version: int
    unknown: Sequence[str]


class _Rows(NamedTuple):
    """Rows of one request for one version."""

    version: int
    places: list[int]
    encoded: Encoded


async def answer(
    live: Live, body: bytes, *, request: str, clock: Clock, wants_reasons: bool = False
) -> Reply:
    """Answer one request and log it.

    Args:
        live: the deployment as it is served at this moment.
        body: the request.
        request: the request's id; without own ids rows are named `<request>-<row>`.
        clock: tells the time of the log.
        wants_reasons: add contributions.

    Raises:
        InvalidRequestError: the body does not fit the signature.
        Exception: what the model raised; the rows it was for are logged as failed.
    """
    started = time.perf_counter_ns()
    main = live.variants[live.main]
    decoded = main.decoder.decode(body)
    if live.single is not None:
        groups = [_Rows(live.main, [], main.encoder.rows(decoded.rows))]
    else:
        groups = _split(live, decoded, body, request)
    parts = []
    for group in groups:
        try:
            parts.append(await _predict(live.variants[group.version], group.encoded))
        except Exception as error:
            _log_failure(live, group, decoded, request, to_microseconds(clock.now()), error)
            raise
    values = _merge(groups, parts, len(decoded.rows))
    frame = _frame(live, groups, values, body, request, to_microseconds(clock.now()), started)
    live.log.append(_encode_frame(frame))
    found = Answer(
        request,
        groups[0].version if len(groups) == 1 else live.main,
        values.tolist(),
        _versions(groups, len(values)),
    )
    if wants_reasons:
        found = msgspec.structs.replace(found, explanations=_reasons(live, groups, len(values)))
    return Reply(_encode_answer(found), found.version, _unknown(decoded, groups))


async def _predict(variant: Variant, encoded: Encoded) -> NDArray[np.float64]:
    if variant.batcher.is_direct(len(encoded.matrix)):
        return variant.batcher.predict_now(encoded.matrix)
    return await variant.batcher.predict(encoded.matrix)


def _split(live: Live, decoded: PredictRequest, body: bytes, request: str) -> list[_Rows]:
    """Group the rows by the version that answers them: by sticky key, by own id, else the whole request together."""
    count = len(decoded.rows)
    if isinstance(decoded.sticky, list) and decoded.sticky:
        keys = decoded.sticky
    elif not decoded.sticky and decoded.ids:
        keys = decoded.ids
    else:
        keys = [str(decoded.sticky or request)]
    versions = (
        [live.version_for(key) for key in keys] if len(keys) == count else [live.version_for(keys[0])] * count
    )
    groups = []
    for version in sorted(set(versions)) or [live.main]:
        places = [place for place, owner in enumerate(versions) if owner == version]
        groups.append(_Rows(version, places, _encode(live, version, decoded, body, places)))
    return groups


def _encode(live: Live, version: int, decoded: PredictRequest, body: bytes, places: list[int]) -> Encoded:
    variant = live.variants[version]
    if variant.signature.inputs != live.variants[live.main].signature.inputs:
        decoded = variant.decoder.decode(body)
    return variant.encoder.rows([decoded.rows[place] for place in places])


def _merge(groups: list[_Rows], values: list[NDArray[np.float64]], count: int) -> NDArray[np.float64]:
    if len(groups) == 1:
        return values[0]
    merged = np.empty((count, *values[0].shape[1:]))
    for group, part in zip(groups, values, strict=True):
        merged[group.places] = part
    return merged


def _frame(
    live: Live,
    groups: list[_Rows],
    values: NDArray[np.float64],
    body: bytes,
    request: str,
    at: int,
    started: int,
) -> PredictionFrame:
    which = b""
    if len(groups) > 1:
        owners = bytearray(len(values))
        for number, group in enumerate(groups):
            for place in group.places:
                owners[place] = number
        which = bytes(owners)
    return PredictionFrame(
        request,
        at,
        (time.perf_counter_ns() - started) // 1000,
        [(group.version, live.variants[group.version].digest) for group in groups],
        which,
        values.shape[1] if values.ndim > 1 else 1,
        values.tobytes(),
        body,
    )


def _log_failure(
    live: Live, group: _Rows, decoded: PredictRequest, request: str, at: int, error: Exception
) -> None:
    places = group.places or range(len(decoded.rows))
    frame = FailureFrame(
        request,
        at,
        group.version,
        live.variants[group.version].digest,
        error.code if isinstance(error, EverloopError) else "serving.broken-answer",
        f"{type(error).__name__}: {error}"[:_LONGEST_REASON],
        [decoded.ids[place] if decoded.ids else f"{request}-{place}" for place in places],
        [to_microseconds(decoded.times[place]) if decoded.times else at for place in places],
    )
    live.failures().append(_encode_frame(frame))


def _versions(groups: list[_Rows], count: int) -> list[int]:
    if len(groups) == 1:
        return []
    versions = [0] * count
    for group in groups:
        for place in group.places:
            versions[place] = group.version
    return versions


def _reasons(live: Live, groups: list[_Rows], count: int) -> list[Explained]:
    found: list[Explained | None] = [None] * count
    for group in groups:
        variant = live.variants[group.version]
        parts = variant.model.predictor.contributions(group.encoded.matrix)
        for place, row in zip(group.places or range(count), parts.tolist(), strict=True):
            *contributions, base = row
            found[place] = Explained(base, dict(zip(variant.signature.features, contributions, strict=True)))
    return [explained for explained in found if explained is not None]


def _unknown(decoded: PredictRequest, groups: list[_Rows]) -> list[str]:
    strange = [f"{name}={count}" for group in groups for name, count in group.encoded.unknown.items()]
    return [*decoded.unknown, *strange]
