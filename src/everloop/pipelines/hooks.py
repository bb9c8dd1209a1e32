"""Whether a webhook is what its sender signed, is fresh, and sets only what it may.

The form is that of Standard Webhooks, which our own alerts are sent in too: `webhook-id`, `webhook-timestamp` (seconds since 1970) and
`webhook-signature`, `v1,` and the base64 of HMAC-SHA256 over `id.timestamp.body`; several signatures are separated by spaces.
No message names the secret or the signature that would be right. Tests: tests/unit/pipelines/test_hooks.py.
"""

from __future__ import annotations

import hmac
import string
from typing import TYPE_CHECKING, Any

import msgspec

from everloop.alerting.channels.webhook import signature
from everloop.core.errors import InvalidInputError, UnauthenticatedError
from everloop.pipelines.inputs import check_plain

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from everloop.pipelines.trigger_records import Trigger

# Standard Webhooks: a message may be so many seconds old, or so many ahead of our clock.
WINDOW_S = 300
_LONGEST_ID = 200
_ID = frozenset(string.ascii_letters + string.digits + "_-.:")


class BadSignatureError(UnauthenticatedError):
    """A webhook is not signed with the trigger's secret, or is too old."""

    code = "pipelines.bad-signature"


class InvalidHookError(InvalidInputError):
    """The body of a webhook sets what it may not, or is no JSON object."""

    code = "pipelines.invalid-hook"


def verify(headers: Mapping[str, str], body: bytes, *, secret: bytes, now: datetime) -> str:
    """Return the id of a delivery that is signed and fresh.

    Raises:
        BadSignatureError: it is not; the message does not say what would be right.
    """
    delivery, moment = headers.get("webhook-id", ""), headers.get("webhook-timestamp", "")
    if not delivery or len(delivery) > _LONGEST_ID or not set(delivery) <= _ID:
        raise BadSignatureError(
            f"the header webhook-id is missing or odd. Send a new id for each message, up to {_LONGEST_ID} letters and digits."
        )
    given = headers.get("webhook-signature", "").split()
    expected = signature(secret, delivery, moment, body).encode()
    # Every one is compared, so that the time tells nothing about which was near.
    matches = sum(hmac.compare_digest(one.encode(), expected) for one in given)
    if not matches:
        raise BadSignatureError(
            "the signature is not that of this hook's secret. Sign `id.timestamp.body` with HMAC-SHA256 and send it as webhook-signature."
        )
    if not (moment.isascii() and moment.isdigit()) or abs(now.timestamp() - int(moment)) > WINDOW_S:
        raise BadSignatureError(
            f"the message is not from the last {WINDOW_S} seconds. Send it again with a fresh webhook-timestamp, in seconds since 1970."
        )
    return delivery


def read_params(body: bytes, plan: Trigger, known: Mapping[str, str]) -> dict[str, Any]:
    """Return the parameters that a body sets.

    Args:
        body: a JSON object, or nothing.
        plan: the trigger, which says what may be set.
        known: the pipeline's inputs as it is registered now.

    Raises:
        InvalidHookError: it is no object, or sets something else.
    """
    try:
        given = msgspec.json.decode(body, type=dict[str, Any]) if body else {}
    except (msgspec.DecodeError, RecursionError) as error:
        raise InvalidHookError("the body is no JSON object of parameters.") from error
    allowed = [name for name in plan.accepts if name in known]
    if others := sorted(set(given) - set(allowed)):
        raise InvalidHookError(
            f"the hook {plan.name} does not take {', '.join(name[:40] for name in others[:5])}. It takes: {', '.join(allowed) or 'nothing'}."
        )
    check_plain(given)
    return given
