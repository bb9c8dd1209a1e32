"""A bucket as a remote: compare-and-swap on refs, and a refusal where a service ignores conditions."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import pytest

from everloop.core.digests import Digest
from everloop.data.remotes import NoConditionalPutsError, Remote
from everloop.data.service import Data

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

    from tests.conftest import MakeKernel

pytestmark = pytest.mark.integration


def test_versions_travel_through_a_bucket(
    make_kernel: MakeKernel, tmp_path: Path, s3_options: dict[str, str]
) -> None:
    ada, bob = (Data(make_kernel(home=tmp_path / name)) for name in ("ada", "bob"))
    ada.add("t", {"a": list(range(100))})
    ada.add("t", {"a": [7]}, mode="append")

    assert ada.push("t", "s3://everloop/remote", options=s3_options).versions == 2
    assert bob.pull("t", "s3://everloop/remote", options=s3_options).versions == 2
    assert bob.version("t").digest == ada.version("t").digest
    assert bob.read("t").num_rows == 101


@pytest.mark.parametrize("kind", ["folder", "bucket"])
def test_of_many_that_move_a_ref_at_once_one_succeeds(
    kind: str, tmp_path: Path, s3_options: dict[str, str]
) -> None:
    url = str(tmp_path / "remote") if kind == "folder" else f"s3://everloop/{tmp_path.name}"
    options = None if kind == "folder" else s3_options
    remotes = [Remote(url, staging=tmp_path / str(number), options=options) for number in range(8)]

    for expected in (None, Digest("0")):

        def move(number: int, expected: Digest | None = expected) -> bool:
            new = Digest(f"{number + 1} after {expected}")
            return remotes[number].move("t", "main", new, expected=expected)

        with ThreadPoolExecutor(8) as pool:
            moved = list(pool.map(move, range(8)))
        assert sum(moved) == 1
        assert remotes[0].move("t", "main", Digest("0"), expected=remotes[0].head("t", "main"))


@pytest.fixture
def careless(s3_options: dict[str, str]) -> Iterator[dict[str, str]]:
    """Run a service of S3's protocol that passes over conditions, as older ones do."""
    from moto.moto_server.werkzeug_app import DomainDispatcherApplication, create_backend_app
    from werkzeug.serving import make_server

    inner: Any = DomainDispatcherApplication(create_backend_app)

    def application(environment: dict[str, Any], respond: Any) -> Iterable[bytes]:
        for name in ("HTTP_IF_NONE_MATCH", "HTTP_IF_MATCH"):
            environment.pop(name, None)
        answer: Iterable[bytes] = inner(environment, respond)
        return answer

    server = make_server("127.0.0.1", 0, application, threaded=True)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield {**s3_options, "endpoint": f"http://127.0.0.1:{server.server_port}"}
    server.shutdown()
    thread.join()


def test_a_remote_without_conditional_puts_is_refused(
    make_kernel: MakeKernel, careless: dict[str, str]
) -> None:
    data = Data(make_kernel())
    data.add("t", {"a": [1]})

    with pytest.raises(NoConditionalPutsError, match="does not support conditional writes"):
        data.push("t", "s3://everloop/careless", options=careless)
