"""Set the stage, play the year, tell the story, keep serving. Tests: tests/e2e/test_demo.py."""

from __future__ import annotations

import shutil
import sys
import time
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from everloop.app import App, connect
from everloop.cli.demo.flights import HOME_OF_FLIGHTS, open_world
from everloop.cli.demo.months import Month, months
from everloop.cli.demo.replay import MODEL, START, Replay
from everloop.cli.demo.story import Narrator
from everloop.core.errors import ConflictError, InvalidInputError
from everloop.kernel.shared_clock import SharedClock
from everloop.server.processes import StopRequested, Supervisor, stop_by_signal

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from everloop.kernel.settings import Settings

ROLES = ("api", "gateway")
SABOTEUR = "everloop.cli.demo.sabotage"
FLAG = "sabotage.json"
_TABLE_WIDTH = 150


class RealHomeError(ConflictError):
    """The folder is a home in real time; the demo would mix years."""

    code = "demo.real-home"


class Result(msgspec.Struct, frozen=True, kw_only=True):
    """What the story came to, for `--json`."""

    months: list[Month]
    months_won: int
    mean_gain: float
    promoted: int
    refused: int
    rolled_back: int
    single_row_p50_ms: float | None
    single_row_p99_ms: float | None
    seconds: float


def perform(home: Path, *, speed: float, until: str, sabotage: bool, leave: bool, as_json: bool) -> None:
    """Run the demo; see `everloop demo --help`.

    Raises:
        RealHomeError: `home` holds real work.
    """
    console = Console(stderr=True, highlight=False)
    last = _last_day(until)
    world = open_world()
    clock = _prepare(home)
    began = time.monotonic()
    with (
        stop_by_signal(),
        connect(home=home / ".everloop") as app,
        _running(app.kernel.settings, console, sabotage=sabotage),
    ):
        with _stage(console) as (bar, say):
            watch = _watcher(app, Narrator(app, say), sabotage=sabotage)
            replay = Replay(app, world, home, move_to=clock.move_to, watch=watch)
            _play(replay, bar, last, speed)
        found = _result(app, replay, time.monotonic() - began)
        _show(found, app, console, home, as_json=as_json)
        if not leave:
            _serve_on(console)


def _last_day(text: str) -> datetime:
    try:
        day = datetime.strptime(text, "%Y-%m-%d").replace(tzinfo=HOME_OF_FLIGHTS)
    except ValueError as error:
        raise InvalidInputError(
            f"{text!r} is not a day; write it like 2013-06-30.", path="$.until"
        ) from error
    return day + timedelta(days=1)


def _prepare(home: Path) -> SharedClock:
    """Make the home in simulated time, and copy the example into the folder, where the user may read and change it.

    Raises:
        RealHomeError: the folder holds real work.
    """
    if (home / ".everloop" / "catalog.db").exists() and not (home / ".everloop" / "clock").exists():
        raise RealHomeError(
            f"{home} lives in real time. Choose another folder with --home.", subject=str(home)
        )
    clock = SharedClock.create(home / ".everloop" / "clock", START.astimezone(UTC))
    if not (home / "loop.py").exists():
        shutil.copyfile(example_file(), home / "loop.py")
    return clock


def example_file() -> Path:
    """Return the example as it was installed, or as it lies in a clone."""
    installed = Path(__file__).with_name("loop.py")
    return installed if installed.exists() else Path(__file__).parents[4] / "examples" / "flights" / "loop.py"


@contextmanager
def _running(settings: Settings, console: Console, *, sabotage: bool) -> Iterator[None]:
    modules = {"gateway": SABOTEUR} if sabotage else {}
    supervisor = Supervisor(settings, ROLES, quiet=True, modules=modules)
    supervisor.start()
    console.print(
        f"[bold]Everloop[/] api http://{settings.api_host}:{settings.api_port}/api/v1  "
        f"gateway http://{settings.gateway_host}:{settings.gateway_port}/predict/{MODEL}  home {settings.home}"
    )
    try:
        yield
    finally:
        supervisor.stop()


@contextmanager
def _stage(console: Console) -> Iterator[tuple[Progress, Callable[[str, str], None]]]:
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("days"),
        TimeElapsedColumn(),
    )
    with Progress(*columns, console=console, transient=True) as bar:

        def say(line: str, colour: str) -> None:
            bar.console.print(line, style=colour or None, markup=False, soft_wrap=False)

        yield bar, say


def _watcher(app: App, narrator: Narrator, *, sabotage: bool) -> Callable[[], None]:
    flag = app.kernel.home / FLAG

    def watch() -> None:
        narrator.catch_up()
        if sabotage and not flag.exists():
            _arm(app, flag)

    return watch


def _arm(app: App, flag: Path) -> None:
    """Name the first challenger that passed its gate to the saboteur."""
    for cycle in app.loop.cycles(MODEL, limit=1):
        if cycle.state == "canary":
            version = app.registry.get(f"{MODEL}@v{cycle.challenger}")
            flag.write_bytes(msgspec.json.encode(version.files))


def _play(replay: Replay, bar: Progress, last: datetime, speed: float) -> None:
    days = [day for day in replay.remaining() if day < last]
    task = bar.add_task("2013", total=len(days))
    if replay.progress.done_until == START:
        replay.begin()
    for day in days:
        began = time.monotonic()
        bar.update(task, description=f"{day:%d %b}")
        replay.play(day)
        bar.advance(task)
        if speed > 0:
            time.sleep(max(0.0, 1 / speed - (time.monotonic() - began)))


def _result(app: App, replay: Replay, seconds: float) -> Result:
    table = months(app, MODEL, until=replay.progress.done_until)
    ended = [cycle for cycle in app.loop.cycles(MODEL, limit=1000) if cycle.champion]
    states = [cycle.state for cycle in ended]
    latencies = sorted(replay.client.single_row_s)
    return Result(
        months=table,
        months_won=sum(month.gain > 0 for month in table),
        mean_gain=sum(month.gain for month in table) / max(1, len(table)),
        promoted=states.count("promoted"),
        refused=states.count("rejected"),
        rolled_back=states.count("rolled_back"),
        single_row_p50_ms=1000 * latencies[len(latencies) // 2] if latencies else None,
        single_row_p99_ms=1000 * latencies[int(len(latencies) * 0.99)] if latencies else None,
        seconds=seconds,
    )


def _show(found: Result, app: App, console: Console, home: Path, *, as_json: bool) -> None:
    if as_json:
        sys.stdout.write(msgspec.json.format(msgspec.json.encode(found), indent=2).decode() + "\n")
        return
    # A file or a pipe has no width of its own; the table needs this much.
    Console(highlight=False, width=None if sys.stdout.isatty() else _TABLE_WIDTH).print(_table(found))
    console.print(_summary(found))
    cycles = app.loop.cycles(MODEL, limit=1)
    console.print("Look closer:", style="bold")
    for line in _commands(home, cycles[0].number if cycles else 1):
        console.print(f"  {line}", markup=False)


def _summary(found: Result) -> str:
    text = (
        f"The loop beat the frozen January model in {found.months_won} of {len(found.months)} months, by {found.mean_gain:.4f} log-loss "
        f"on average: {found.promoted} promoted, {found.refused} refused, {found.rolled_back} rolled back; "
    )
    if found.single_row_p50_ms is None:
        return text + "this story was played before and is shown again."
    return text + (
        f"single rows p50 {found.single_row_p50_ms:.1f} ms, p99 {found.single_row_p99_ms:.1f} ms; {found.seconds:.0f} s."
    )


def _table(found: Result) -> Table:
    drawn = Table(
        title="Log-loss by month: the January model, frozen, and what the loop served", title_justify="left"
    )
    for name in ("month", "flights", "late", "frozen", "loop", "gain and 95 %", "champion"):
        drawn.add_column(name, justify="left" if name == "month" else "right", no_wrap=True)
    drawn.add_column("what the loop did, and why", overflow="fold")
    for month in found.months:
        drawn.add_row(
            month.month,
            f"{month.flights:,}",
            f"{month.late_rate:.0%}",
            f"{month.frozen:.3f}",
            f"{month.served:.3f}",
            f"{month.gain:+.3f} [{month.gain_low:+.3f}, {month.gain_high:+.3f}]",
            f"v{month.champion}",
            "\n".join(month.story),
        )
    return drawn


def _commands(home: Path, cycle: int) -> list[str]:
    prefix = f"everloop --home {home / '.everloop'}"
    return [
        f"{prefix} loop explain {MODEL}/{cycle}      the chain of one cycle, with its evidence",
        f"{prefix} loop cycles {MODEL}         all cycles",
        f"{prefix} model versions {MODEL}      all versions, and where they came from",
        f"{prefix} monitor windows {MODEL}     performance window by window",
        f"{prefix} events verify              nobody changed the record",
        f"$EDITOR {home / 'loop.py'}          the whole loop; for a new story remove {home}",
    ]


def _serve_on(console: Console) -> None:
    console.print("Serving on; Ctrl-C ends the demo.", style="bold")
    try:
        while True:
            time.sleep(1)
    except (KeyboardInterrupt, StopRequested):
        console.print("stopped; the story is kept, and `everloop demo` shows it again")
