"""A gateway on a broken machine: one named model answers nonsense there, though its file is intact and its gate was passed.

Run only by `everloop demo --sabotage`, in place of the demo's gateway; the product has no such switch. The flag file names the model's files by
digest. Tests: tests/e2e/test_demo.py.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import msgspec

from everloop.core.digests import digest_bytes
from everloop.kernel.settings import load_settings
from everloop.registry.flavors import lightgbm
from everloop.server.processes import token_for
from everloop.serving.gateway import serve_gateway

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    import numpy as np
    from numpy.typing import NDArray

    from everloop.registry.encoding import Matrix
    from everloop.registry.flavors.protocol import Predictor
    from everloop.registry.records import Signature

FLAG = "sabotage.json"


class Saboteur:
    """Turns the answers of a predictor upside down once its model is named in the flag file."""

    def __init__(self, inner: Predictor, digest: str, flag: Path) -> None:
        self._inner = inner
        self._digest = digest
        self._flag = flag
        self.inline_rows = inner.inline_rows

    def predict(self, matrix: Matrix) -> NDArray[np.float64]:
        """Return the answers, or one minus them."""
        answers = self._inner.predict(matrix)
        return 1 - answers if self._is_named() else answers

    def contributions(self, matrix: Matrix) -> NDArray[np.float64]:
        """Return the inner predictor's contributions."""
        return self._inner.contributions(matrix)

    def _is_named(self) -> bool:
        if not self._flag.exists():
            return False
        return self._digest in msgspec.json.decode(self._flag.read_bytes(), type=dict[str, str]).values()


def main() -> None:
    """Serve like `everloop up --role gateway`, with the saboteur in between."""
    settings = load_settings(home=sys.argv[1], url="")
    honest = lightgbm.predictor

    def predictor(files: Mapping[str, bytes], signature: Signature) -> Predictor:
        return Saboteur(honest(files, signature), digest_bytes(files[lightgbm.FILE]), settings.home / FLAG)

    lightgbm.predictor = predictor  # type: ignore[assignment]  # the one place that breaks it on purpose
    serve_gateway(settings, token=token_for(settings))


if __name__ == "__main__":
    main()
