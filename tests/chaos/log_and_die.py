# ruff: noqa: T201 - a program: it speaks by printing
"""Log numbers until killed or done: `python log_and_die.py RUN COUNT PAUSE_S`; the home is that of the environment.

Each printed line is a number that was logged and the time. The run counts its own steps, so that a lost or doubled point shows.
"""

from __future__ import annotations

import sys
import time

import everloop as el


def main(run_id: str, count: int, pause_s: float) -> None:
    with el.connect() as app:
        run = app.tracking.start(experiment="chaos", run_id=run_id)
        print("ready", flush=True)
        for number in range(count):
            run.log(n=float(number), step=number)
            if number % 100 == 0:
                print(number, time.time(), flush=True)
                time.sleep(pause_s)
        run.finish()


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), float(sys.argv[3]))
