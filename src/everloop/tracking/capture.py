"""Find out what is running: git state, script, command line, interpreter, installed distributions.

Nothing here may stop a run: outside git, without git, or in a notebook the fields stay empty. Tests:
tests/unit/tracking/test_capture.py.
"""

from __future__ import annotations

import functools
import importlib.metadata
import platform
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from everloop.tracking.records import Capture

if TYPE_CHECKING:
    from everloop.kernel.objects import Objects

_GIT_TIMEOUT_S = 10
_LARGEST_DIFF = 8 << 20
_FIELD = re.compile(r"^(Name|Version):[ \t]*(.*?)[ \t\r]*$", re.MULTILINE)


def capture(objects: Objects) -> Capture:
    """Return code and environment of this process; the diff and the lock are stored as objects."""
    found, contents = look()
    return msgspec.structs.replace(
        found, **{name: objects.put(content) for name, content in contents.items()}
    )


def look() -> tuple[Capture, dict[str, bytes]]:
    """Return code and environment of this process, and the bytes of the fields that name objects: `diff` and `environment`."""
    script = _script()
    tree = _work_tree(script.parent if script else Path.cwd())
    commit, branch, diff = _git_state(tree) if tree else ("", "", b"")
    found = Capture(
        commit=commit,
        branch=branch,
        script=_relative(script, tree),
        command=[Path(sys.argv[0]).name, *sys.argv[1:]] if sys.argv else [],
        python=platform.python_version(),
        platform=_platform(),
    )
    return found, {"environment": environment_lock(), **({"diff": diff} if diff else {})}


@functools.cache
def environment_lock() -> bytes:
    """Return the installed distributions as lines `name==version`, sorted; read once per process."""
    lines = {"==".join(_name_and_version(item)) for item in importlib.metadata.distributions()}
    return ("\n".join(sorted(lines)) + "\n").encode()


def _name_and_version(item: importlib.metadata.Distribution) -> tuple[str, str]:
    # Reading the two lines takes a tenth of the time in which `item.metadata` parses a long description as an e-mail.
    text = (item.read_text("METADATA") or "").partition("\n\n")[0]
    fields = dict(_FIELD.findall(text))
    return fields.get("Name", "").lower() or item.metadata["Name"].lower(), fields.get(
        "Version"
    ) or item.version


@functools.cache
def _platform() -> str:
    return platform.platform()


def _script() -> Path | None:
    filename = getattr(sys.modules.get("__main__"), "__file__", None)
    return Path(filename).resolve() if filename else None


def _relative(script: Path | None, tree: Path | None) -> str:
    if script is None:
        return ""
    return str(script.relative_to(tree)) if tree and script.is_relative_to(tree) else str(script)


def _work_tree(folder: Path) -> Path | None:
    return next((place for place in (folder, *folder.parents) if (place / ".git").exists()), None)


def _git_state(tree: Path) -> tuple[str, str, bytes]:
    commit = _git(tree, "rev-parse", "HEAD").decode().strip()
    if not commit:
        return "", "", b""
    branch = _git(tree, "rev-parse", "--abbrev-ref", "HEAD").decode().strip()
    diff = _git(tree, "diff", "HEAD", "--no-ext-diff", "--no-color")
    return commit, branch, diff if len(diff) <= _LARGEST_DIFF else b""


def _git(tree: Path, *arguments: str) -> bytes:
    program = shutil.which("git")
    if program is None:
        return b""
    command = [program, "-C", str(tree), *arguments]
    try:
        done = subprocess.run(command, capture_output=True, timeout=_GIT_TIMEOUT_S, check=False)  # noqa: S603 - our own arguments
    except (OSError, subprocess.TimeoutExpired):
        return b""
    return done.stdout if done.returncode == 0 else b""
