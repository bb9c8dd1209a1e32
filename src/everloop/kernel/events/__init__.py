"""The append-only event log with its hash chain, signed checkpoints, and the lineage edges."""

from everloop.kernel.events.log import Event, EventLog

__all__ = ["Event", "EventLog"]
