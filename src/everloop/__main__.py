"""Run the command line as `python -m everloop`."""

from everloop.cli import main

main()
