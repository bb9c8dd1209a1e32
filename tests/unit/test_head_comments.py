"""Every file says where its tests are, and they are there."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
HOUSE = ROOT / "src" / "everloop"
TEST_PATH = re.compile(r"tests/[\w/.]*\w")


def named_tests() -> list[tuple[str, str]]:
    """Return (file, path of tests it names) of every module of the house."""
    found = []
    for file in sorted(HOUSE.rglob("*.py")):
        comment = ast.get_docstring(ast.parse(file.read_text(encoding="utf-8"))) or ""
        found += [(file.relative_to(HOUSE).as_posix(), path) for path in TEST_PATH.findall(comment)]
    return found


def test_head_comments_name_tests() -> None:
    assert len({file for file, _ in named_tests()}) > 100


@pytest.mark.parametrize(("file", "path"), named_tests())
def test_the_tests_that_a_head_comment_names_exist(file: str, path: str) -> None:
    place = ROOT / path
    assert place.is_file() or any(place.glob("**/test_*.py")), f"src/everloop/{file} names {path}"
