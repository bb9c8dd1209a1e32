"""`everloop run SCRIPT`: track any Python script as it stands: code, environment, arguments, console, how it ended.

Tests: tests/integration/test_cli_pipelines.py.
"""

from __future__ import annotations

import ast
import contextlib
import io
import runpy
import sys
import tempfile
from typing import TYPE_CHECKING, TextIO

import click

from everloop.cli import output

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path


def has_pipeline(file: Path) -> bool:
    """Say whether a file decorates a function with `pipeline`, without running it; one that cannot be read has none."""
    try:
        tree = ast.parse(file.read_text(encoding="utf-8"))
    except (OSError, SyntaxError, UnicodeDecodeError):
        return False
    functions = [node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)]
    names = [ast.unparse(one).partition("(")[0] for function in functions for one in function.decorator_list]
    return any(name.rpartition(".")[2] == "pipeline" for name in names)


def run_script(file: Path, words: Sequence[str]) -> None:
    """Run a script with its arguments as Python would, as a tracked run; what it logs goes to that run.

    The script's exit status is the command's.
    """
    with output.app() as loop, tempfile.TemporaryFile("w+", encoding="utf-8") as kept:
        run = loop.tracking.start(
            experiment=file.stem, name=file.name, params=_params(words), tags={"script": file.name}
        )
        code, error = 0, ""
        try:
            with run_as_main(file, words), _console(kept):
                run.activate()
                runpy.run_path(str(file), run_name="__main__")
        except SystemExit as end:
            code = end.code if isinstance(end.code, int) else int(end.code is not None)
            error = "" if not code else f"exit status {code}"
        except KeyboardInterrupt:
            code, error = 130, "interrupted"
        except BaseException as broken:  # noqa: BLE001 - a script may raise anything; its traceback is shown, its run closed
            code, error = 1, f"{type(broken).__name__}: {broken}"
            sys.excepthook(type(broken), broken, broken.__traceback__)
        finally:
            run.deactivate()
        kept.seek(0)
        run.log_artifact("console.log", kept.read().encode())
        run.finish("finished" if not code else "killed" if code == 130 else "failed", error=error)  # noqa: PLR2004 - Ctrl-C
        output.note(
            f"run {run.id} of {file.name}: {'finished' if not code else error}; `everloop runs show {run.id}`"
        )
    if code:
        raise SystemExit(code)


@contextlib.contextmanager
def run_as_main(file: Path, words: Sequence[str]) -> Iterator[None]:
    """Set arguments and import path as `python FILE WORDS` does."""
    argv, path = sys.argv, list(sys.path)
    sys.argv, sys.path[:] = [str(file), *words], [str(file.resolve().parent), *path]
    try:
        yield
    finally:
        sys.argv, sys.path[:] = argv, path


class _Tee(io.TextIOBase):
    """Writes to the console, and keeps what was written."""

    def __init__(self, stream: TextIO, kept: TextIO) -> None:
        self._stream, self._kept = stream, kept

    def write(self, text: str, /) -> int:
        self._kept.write(text)
        return self._stream.write(text)

    def flush(self) -> None:
        self._stream.flush()

    def isatty(self) -> bool:
        return self._stream.isatty()

    def fileno(self) -> int:
        return self._stream.fileno()


@contextlib.contextmanager
def _console(kept: TextIO) -> Iterator[None]:
    out, err = _Tee(sys.stdout, kept), _Tee(sys.stderr, kept)
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        yield


def _params(words: Sequence[str]) -> dict[str, str | int | float | bool | None]:
    """Return `--name value` pairs of a command line as params."""
    found: dict[str, str | int | float | bool | None] = {}
    pending = list(words)
    while pending:
        word = pending.pop(0)
        if not word.startswith("--") or len(word) < 3:  # noqa: PLR2004 - two dashes and a name
            continue
        name, equals, value = word[2:].partition("=")
        if not equals and pending and not pending[0].startswith("--"):
            value = pending.pop(0)
        elif not equals:
            found[name] = True
            continue
        found[name] = _plain(value)
    return found


def _plain(text: str) -> str | int | float:
    for kind in (int, float):
        with contextlib.suppress(ValueError):
            return kind(text)
    return text


def check_script(file: Path) -> None:
    """Refuse a file that is not there."""
    if not file.is_file():
        raise click.UsageError(f"there is no file {file}.")
