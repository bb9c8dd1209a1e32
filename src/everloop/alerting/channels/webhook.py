"""Alerts by HTTP POST, signed, only to hosts an operator listed.

The signature follows the Standard Webhooks form: headers `webhook-id`, `webhook-timestamp` and `webhook-signature` (`v1,` and the base64
of HMAC-SHA256 over `id.timestamp.body`). No redirect is followed. Tests: tests/contract/test_channels.py.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import os
import time
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import msgspec
import urllib3

from everloop.alerting.channels import DeliveryError
from everloop.core.errors import InvalidInputError, PermissionDeniedError

if TYPE_CHECKING:
    from collections.abc import Collection

    from everloop.alerting.records import Alert, Channel
    from everloop.kernel.settings import Settings

_TIMEOUT_S = 5.0


class UnlistedHostError(PermissionDeniedError):
    """A webhook names a host that no operator allowed."""

    code = "alerting.unlisted-host"


class MissingSecretError(InvalidInputError):
    """The secret a webhook refers to is not there."""

    code = "alerting.missing-secret"


class WebhookChannel:
    """Sends a signed POST."""

    def __init__(self, channel: Channel, settings: Settings) -> None:
        if not _is_listed(channel.target, settings.webhook_hosts):
            raise UnlistedHostError(
                f"channel {channel.name} would send to {channel.target!r}, whose host is not allowed. "
                "Add the host to webhook_hosts in everloop.toml if it is yours.",
                subject=channel.name,
            )
        self._url = channel.target
        self._secret = read_secret(channel.secret, channel.name)
        self._pool = urllib3.PoolManager(retries=False, timeout=_TIMEOUT_S)

    def deliver(self, delivery: str, kind: str, alert: Alert) -> None:
        """Send the alert; anything but a 2xx is tried again."""
        body = msgspec.json.encode({"type": f"alert.{kind}", "alert": alert})
        moment = str(int(time.time()))
        headers = {
            "content-type": "application/json",
            "webhook-id": delivery,
            "webhook-timestamp": moment,
            "webhook-signature": signature(self._secret, delivery, moment, body),
        }
        try:
            answer = self._pool.request("POST", self._url, body=body, headers=headers, redirect=False)
        except urllib3.exceptions.HTTPError as error:
            raise DeliveryError(
                f"{urlsplit(self._url).netloc} does not answer: {type(error).__name__}. It is tried again."
            ) from error
        if not 200 <= answer.status < 300:  # noqa: PLR2004 - HTTP's success
            raise DeliveryError(f"{urlsplit(self._url).netloc} answered {answer.status}. It is tried again.")


def _is_listed(target: str, hosts: Collection[str]) -> bool:
    try:
        parts = urlsplit(target)
        names = {parts.hostname, f"{parts.hostname}:{parts.port}"}
    except ValueError:  # no address at all
        return False
    return parts.scheme in ("http", "https") and parts.username is None and bool(names & set(hosts))


def signature(secret: bytes, delivery: str, moment: str, body: bytes) -> str:
    """Return the value of `webhook-signature` for a message."""
    digest = hmac.new(secret, b".".join((delivery.encode(), moment.encode(), body)), hashlib.sha256).digest()
    return "v1," + base64.b64encode(digest).decode()


def read_secret(reference: str, owner: str, *, noun: str = "channel") -> bytes:
    """Return the secret that `env:NAME` or `file:PATH` refers to.

    Raises:
        MissingSecretError: there is none.
    """
    kind, _, name = reference.partition(":")
    if kind == "env" and (value := os.environ.get(name)):
        return value.encode()
    if kind == "file" and Path(name).is_file():
        return Path(name).read_bytes().strip()
    raise MissingSecretError(
        f"{noun} {owner} needs a secret to sign with: {reference or 'none is named'}. Give env:NAME or file:PATH and set it.",
        subject=owner,
    )
