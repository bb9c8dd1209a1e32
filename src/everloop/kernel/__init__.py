"""What every stage stands on: catalog, objects, events, operations, settings, and the kernel that holds them."""

from everloop.kernel.runtime import Kernel, RemoteKernel, open_kernel

__all__ = ["Kernel", "RemoteKernel", "open_kernel"]
