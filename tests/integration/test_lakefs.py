"""lakeFS as its clients see it: commits by the documented REST answers, bytes through an S3 gateway."""

from __future__ import annotations

import base64
import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING
from urllib.parse import parse_qs, urlsplit

import obstore
import pytest
from obstore.store import S3Store

from everloop.data.connectors.http import SourceRefusedError
from everloop.data.importers.errors import NoRepositoryError
from everloop.data.importers.lakefs import LakeFS
from everloop.data.service import Data

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from everloop.kernel import Kernel

pytestmark = pytest.mark.integration

KEY, SECRET = "AKIAIOSFODNN7EXAMPLE", "wJalrXUtnFEMI"
# Newest first, as GET /repositories/{repository}/refs/{ref}/commits answers.
COMMITS = [
    {"id": "c2" * 32, "parents": ["c1" * 32], "committer": "ada", "message": "more rows", "creation_date": 1_700_000_100,
     "meta_range_id": "", "metadata": {}},
    {"id": "c1" * 32, "parents": [], "committer": "ada", "message": "first", "creation_date": 1_700_000_000,
     "meta_range_id": "", "metadata": {}},
]  # fmt: skip
FILES = {
    "c1" * 32: {"rows.csv": b"a\n1\n", "images/1.txt": b"one"},
    "c2" * 32: {"rows.csv": b"a\n1\n2\n", "images/1.txt": b"one"},
}


class Lake(BaseHTTPRequestHandler):
    """Answers pages of one result, so that every page but the last says that more follow."""

    def do_GET(self) -> None:
        parts = urlsplit(self.path)
        query = {name: values[0] for name, values in parse_qs(parts.query).items()}
        wanted = "Basic " + base64.b64encode(f"{KEY}:{SECRET}".encode()).decode()
        if self.headers.get("Authorization") != wanted:
            self.answer(401, {"message": "error authenticating request"})
            return
        words = parts.path.removeprefix("/api/v1/repositories/").split("/")
        if words[0] != "everloop":
            self.answer(404, {"message": "repository not found"})
        elif words[3:] == ["commits"]:
            self.page(COMMITS, "id", query)
        else:
            files = FILES[words[2]]
            self.page([
                {"path": path, "path_type": "object", "physical_address": "s3://other/x", "checksum": f"{hash(content):x}",
                 "size_bytes": len(content), "mtime": 1_700_000_000}
                for path, content in sorted(files.items()) if path.startswith(query.get("prefix", ""))
            ], "path", query)  # fmt: skip

    def page(self, results: list[dict[str, object]], key: str, query: dict[str, str]) -> None:
        names = [result[key] for result in results]
        start = names.index(query["after"]) + 1 if query.get("after") else 0
        shown = results[start : start + 1]
        page = {"has_more": start + 1 < len(results), "next_offset": shown[0][key] if shown else "",
                "results": len(shown), "max_per_page": 1}  # fmt: skip
        self.answer(200, {"pagination": page, "results": shown})

    def answer(self, status: int, body: object) -> None:
        content = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *arguments: object) -> None:
        """Say nothing."""


@pytest.fixture
def data(kernel: Kernel) -> Data:
    return Data(kernel)


@pytest.fixture
def lake(s3_options: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    store = S3Store("everloop", config=s3_options, client_options={"allow_http": True})  # type: ignore[arg-type]
    for commit, files in FILES.items():
        for path, content in files.items():
            obstore.put(store, f"{commit}/{path}", content)
    server = ThreadingHTTPServer(("127.0.0.1", 0), Lake)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    init = LakeFS.__init__

    def beside(self: LakeFS, endpoint: str, repository: str, **keys: str) -> None:
        # Here the gateway has an address of its own.
        init(self, endpoint, repository, **keys)
        self.store_options = s3_options

    monkeypatch.setattr(LakeFS, "__init__", beside)
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()
    thread.join()


def test_commits_become_versions(data: Data, lake: str, tmp_path: Path) -> None:
    found = data.import_lakefs("rows", lake, "everloop", access_key_id=KEY, secret_access_key=SECRET)

    assert [version.files for version in found] == [2, 2]
    assert [ref.name for ref in data.refs("rows")] == ["c1c1c1c1c1c1", "c2c2c2c2c2c2", "main"]
    assert "more rows (lakeFS" in found[1].message
    data.checkout("rows@main~1", tmp_path / "out")
    assert (tmp_path / "out" / "rows.csv").read_bytes() == b"a\n1\n"
    tables = data.import_lakefs(
        "table", lake, "everloop", access_key_id=KEY, secret_access_key=SECRET, table="rows.csv"
    )
    assert [version.rows for version in tables] == [1, 2]


def test_a_wrong_key_and_a_wrong_name_are_told_apart(data: Data, lake: str) -> None:
    with pytest.raises(SourceRefusedError, match="access key") as refused:
        data.import_lakefs("rows", lake, "everloop", access_key_id=KEY, secret_access_key="no-such-secret")
    assert "no-such-secret" not in str(refused.value)
    with pytest.raises(NoRepositoryError, match="Check the repository"):
        data.import_lakefs("rows", lake, "other", access_key_id=KEY, secret_access_key=SECRET)
