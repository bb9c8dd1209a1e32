"""The codec of last resort. Tests: tests/unit/pipelines/test_artifacts.py."""

from __future__ import annotations

import pickle
from typing import TYPE_CHECKING

from everloop.pipelines.codecs.protocol import type_name
from everloop.pipelines.records import Artifact

if TYPE_CHECKING:
    from everloop.pipelines.codecs.protocol import Store


class PickleCodec:
    """The last resort: values only this Python and these package versions can read. Marked, and warned about."""

    name = "pickle"

    def takes(self, value: object) -> bool:
        """Take anything."""
        del value
        return True

    def dump(self, value: object, store: Store) -> Artifact:
        """Pickle."""
        content = pickle.dumps(value, protocol=5)
        digest = store.put(content)
        return Artifact(
            codec=self.name, digest=digest, objects={"pickle": digest}, facts={"type": type_name(type(value))}
        )

    def load(self, artifact: Artifact, store: Store) -> object:
        """Unpickle: only what a step of this home wrote comes here."""
        return pickle.loads(store.objects.get(artifact.objects["pickle"]))  # noqa: S301 - written by our own steps
