"""The generic remote call path: any operation over HTTP, and the objects beside it.

One transport serves every stage; nobody writes the API a second time. A write carries an idempotency key of its own, so a
request whose answer was lost can be sent again. Tests: tests/integration/test_remote.py.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import msgspec
import urllib3

from everloop.core.errors import UnavailableError, error_from_problem
from everloop.core.ids import new_id

if TYPE_CHECKING:
    from everloop.kernel.operations.statement import Operation

API = "/api/v1"
_RETRIES = urllib3.Retry(
    total=4,
    connect=2,
    backoff_factor=0.2,
    allowed_methods=None,
    status_forcelist=(502, 503, 504),
    raise_on_status=False,
)


class Transport:
    """Speaks to one server. Threads may share it."""

    def __init__(self, url: str, token: str = "") -> None:
        self.url = url.rstrip("/")
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        self._pool = urllib3.PoolManager(
            headers=headers, retries=_RETRIES, timeout=urllib3.Timeout(connect=5, read=600)
        )

    def call(self, operation: Operation, arguments: dict[str, Any]) -> Any:  # noqa: ANN401 - the operation's own type
        """Send one call and return its decoded result.

        Raises:
            EverloopError: the very class the server raised.
            UnavailableError: no server answers.
        """
        plain = msgspec.to_builtins(arguments)
        path = operation.path
        for name in operation.path_names:
            path = path.replace(f"{{{name}}}", quote(str(plain.pop(name)), safe="@"))
        headers = {"Idempotency-Key": new_id()} if operation.is_write else {}
        if operation.takes_body:
            body = msgspec.json.encode(plain)
            answer = self.request(
                operation.method,
                API + path,
                body=body,
                headers={**headers, "Content-Type": "application/json"},
            )
        else:
            answer = self.request(operation.method, API + path, fields=_query(plain), headers=headers)
        return msgspec.json.decode(answer.data or b"null", type=operation.hints["return"])

    def close(self) -> None:
        """Close the connections."""
        self._pool.clear()

    def request(self, method: str, path: str, **options: Any) -> urllib3.BaseHTTPResponse:  # noqa: ANN401 - urllib3's own
        """Send one request; raise our error for an answer of 400 and above."""
        headers = {**self._pool.headers, **options.pop("headers", {})}
        try:
            if "fields" in options:
                answer = self._pool.request(method, self.url + path, headers=headers, **options)
            else:
                answer = self._pool.urlopen(method, self.url + path, headers=headers, **options)
        except urllib3.exceptions.HTTPError as error:
            raise UnavailableError(
                f"no Everloop answers at {self.url}. Start it with `everloop up`, or unset EVERLOOP_URL to work in the local home.",
                subject=self.url,
            ) from error
        if answer.status >= 400:  # noqa: PLR2004 - HTTP's border of errors
            raise error_from_problem(_problem(answer))
        return answer


def _query(values: dict[str, Any]) -> list[tuple[str, str]]:
    pairs: list[tuple[str, str]] = []
    for name, value in values.items():
        items = value if isinstance(value, list | tuple) else [value]
        pairs += [
            (name, item if isinstance(item, str) else msgspec.json.encode(item).decode())
            for item in items
            if item is not None
        ]
    return pairs


def _problem(answer: urllib3.BaseHTTPResponse) -> dict[str, Any]:
    try:
        document = msgspec.json.decode(answer.data)
    except msgspec.DecodeError:
        document = None
    if isinstance(document, dict):
        return document
    return {
        "detail": f"the server answered {answer.status} without a reason. Look at its log.",
        "code": "everloop.error",
    }
