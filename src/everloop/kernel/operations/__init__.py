"""Verbs stated once: permission, route, event and command of a method, and how a call reaches it."""

from everloop.kernel.operations.context import Kernel
from everloop.kernel.operations.service import Service
from everloop.kernel.operations.statement import Operation, operation, operations_of

__all__ = ["Kernel", "Operation", "Service", "operation", "operations_of"]
