"""A DVC repository is read from git and its cache alone: tags become versions."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from tests.unit.data.importers.foreign import Project, out

from everloop.data.importers.dvc import read_dvc
from everloop.data.importers.errors import MissingContentError, NoRepositoryError, UnsafePathError


def test_each_tag_is_a_version_with_its_files(project: Project) -> None:
    one, two = project.cached(b"a\n1\n"), project.cached(b"a\n2\n")
    project.tag("v1", {"rows.csv.dvc": out(one, "rows.csv")})
    project.tag("v2", {"rows.csv.dvc": out(two, "rows.csv")})

    found = list(read_dvc(project.root))

    assert [version.name for version in found] == ["v1", "v2"]
    assert [version.files[0].path for version in found] == ["rows.csv", "rows.csv"]
    assert Path(found[1].files[0].location).read_bytes() == b"a\n2\n"
    assert found[0].author.startswith("Ada")


def test_a_folder_has_the_files_of_its_listing(project: Project) -> None:
    members = [
        {"md5": project.cached(b"1"), "relpath": "x/1.txt"},
        {"md5": project.cached(b"2"), "relpath": "2.txt"},
    ]
    folder = project.cached(json.dumps(members).encode(), ".dir")
    project.tag("v1", {"images.dvc": out(folder, "images")})

    (version,) = read_dvc(project.root)

    assert [file.path for file in version.files] == ["images/2.txt", "images/x/1.txt"]


def test_a_file_that_is_not_in_the_cache_is_named_with_the_way_out(project: Project) -> None:
    project.tag("v1", {"rows.csv.dvc": out("a" * 32, "rows.csv")})

    with pytest.raises(MissingContentError, match=r"rows\.csv of v1 .*dvc fetch"):
        list(read_dvc(project.root))


def test_a_path_that_leaves_the_repository_is_refused(project: Project) -> None:
    project.tag("v1", {"rows.csv.dvc": out(project.cached(b"x"), "../../etc/passwd")})

    with pytest.raises(UnsafePathError, match="outside of the repository"):
        list(read_dvc(project.root))


def test_a_folder_without_dvc_is_refused(tmp_path: Path) -> None:
    with pytest.raises(NoRepositoryError, match="dvc init"):
        list(read_dvc(tmp_path))
