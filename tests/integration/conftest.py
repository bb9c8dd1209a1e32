"""An S3 server on loopback for the tests that need one."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture(scope="session")
def s3_options() -> Iterator[dict[str, str]]:
    """Start moto with the bucket `everloop`; give the options of the object store."""
    from moto.server import ThreadedMotoServer

    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0)
    server.start()
    host, port = server.get_host_and_port()
    options = {
        "endpoint": f"http://{host}:{port}",
        "access_key_id": "testing",
        "secret_access_key": "testing",
        "region": "us-east-1",
    }
    import urllib3

    urllib3.request("PUT", f"{options['endpoint']}/everloop")
    yield options
    server.stop()
