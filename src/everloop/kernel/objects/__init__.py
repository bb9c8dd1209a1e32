"""Content-addressed objects: immutable bytes named by their digest, in a folder, S3 or any obstore URL."""

from everloop.kernel.objects.protocol import Content, Objects
from everloop.kernel.objects.store import ObjectStore

__all__ = ["Content", "ObjectStore", "Objects"]
