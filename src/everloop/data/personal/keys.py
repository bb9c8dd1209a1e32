"""The home's secret key for masking: made on first use, readable by its owner only, never in the catalog or a version.

Tests: tests/unit/data/personal/test_masking.py.
"""

from __future__ import annotations

import os
import secrets
from contextlib import suppress
from typing import TYPE_CHECKING

from blake3 import blake3

from everloop.core.errors import InvalidInputError

if TYPE_CHECKING:
    from pathlib import Path

FILE = "masking.key"
_BYTES = 32


class MaskingKeyError(InvalidInputError):
    """The file of the masking key holds no key, or another key than the one a dataset was masked with."""

    code = "data.masking-key"


def load_key(home: Path) -> bytes:
    """Return the key of a home, making it when there is none; of processes that do so at once all get the same.

    Raises:
        MaskingKeyError: the file is there and holds no key.
    """
    file = home / "keys" / FILE
    if not file.exists():
        _make(file)
    try:
        key = bytes.fromhex(file.read_text().strip())
    except (OSError, ValueError):
        key = b""
    if len(key) != _BYTES:
        raise MaskingKeyError(
            f"{file} does not hold a masking key. Put the file back from a backup; only if nothing was masked yet, remove it and a "
            "new one is made."
        )
    return key


def fingerprint(key: bytes) -> str:
    """Return what tells two keys apart and says nothing of either."""
    return blake3(b"everloop masking key", key=key).hexdigest(length=8)


def subkey(key: bytes, purpose: str) -> bytes:
    """Return a key of its own for each purpose."""
    return blake3(purpose.encode(), key=key).digest()


def _make(file: Path) -> None:
    file.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    staged = file.with_name(f"{FILE}.{secrets.token_hex(8)}")
    handle = os.open(staged, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        os.write(handle, secrets.token_bytes(_BYTES).hex().encode())
        os.fsync(handle)
    finally:
        os.close(handle)
    # A link appears whole, and not over one that another process made meanwhile.
    with suppress(FileExistsError):
        file.hardlink_to(staged)
    staged.unlink()
