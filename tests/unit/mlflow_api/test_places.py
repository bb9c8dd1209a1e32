"""A path of an artifact stays below its folder, however it is written."""

from __future__ import annotations

import pytest

from everloop.mlflow_api.errors import BadParameterError
from everloop.mlflow_api.places import Listed, Place, clean, list_folder, split
from everloop.mlflow_api.queries import Stored


@pytest.mark.parametrize(
    "path", ["a", "a/b.txt", "a b/ü.txt", "100%", "50%25.txt", "a..b", "...a", "a/", "x;y", "~a/b"[1:]]
)
def test_a_plain_path_is_kept(path: str) -> None:
    assert clean(path) == path.rstrip("/")


@pytest.mark.parametrize(
    "path",
    ["..", "../x", "a/../b", "a/..", "/etc/passwd", "//x", "a//b", ".", "a/./b", "..;/x", "a/..;p=1/b", "a\\b", "..\\x",
     "%2e%2e/x", "a/%2e%2e/x", "%252e%252e/x", "%25252e%25252e/x", "%2fetc", "a%2f..%2fb", "a%5cb", "a%00b", "a\x00b", "a\nb",
     "c:/x", "~/x", "a#b", "a%23b", ".. /x", "...", "%2e%2e%3b/x", "file:///etc"],
)  # fmt: skip
def test_a_path_that_could_leave_is_refused(path: str) -> None:
    with pytest.raises(BadParameterError):
        clean(path)


def test_a_path_names_a_run_or_another_place() -> None:
    assert split("3/abc/artifacts/model/MLmodel") == Place("abc", "model/MLmodel")
    assert split("3/abc/artifacts") == Place("abc", "")
    assert split("3/models/m-1/artifacts/MLmodel") == Place("", "3/models/m-1/artifacts/MLmodel")
    assert split("my/place") == Place("", "my/place")


def test_a_listing_has_files_and_folders_once_by_name() -> None:
    found = [Stored("b/x", "", 1), Stored("b/y", "", 2), Stored("a", "", 3), Stored("", "", 4)]

    assert list_folder(found) == [
        Listed("a", is_dir=False, size_bytes=3),
        Listed("b", is_dir=True, size_bytes=0),
    ]
