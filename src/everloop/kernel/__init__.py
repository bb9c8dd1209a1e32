"""What every stage stands on: catalog, objects, events, operations, settings, and the kernel that holds them."""

from everloop.kernel.operations.context import Kernel
from everloop.kernel.runtime import RemoteKernel, open_kernel

__all__ = ["Kernel", "RemoteKernel", "open_kernel"]
