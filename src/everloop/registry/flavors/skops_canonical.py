"""Bring a skops file into one form: the same estimator has the same bytes in every process.

skops names objects by their address in memory and zips with the time of day, so two equal models differ. Here addresses become numbers in the
order of their first mention, and the zip has fixed dates. Tests: tests/unit/registry/test_skops_canonical.py.
"""

from __future__ import annotations

import io
import re
import zipfile

_SCHEMA = "schema.json"
_DATE = (1980, 1, 1, 0, 0, 0)
# What skops writes for an address: `"__id__": N`, and `"file": "N.npy"` or another ending.
_ADDRESS = re.compile(r'("__id__": )(\d+)|("file": ")(\d+)(\.\w+")')


def canonical(content: bytes) -> bytes:
    """Return the same model in its one form."""
    with zipfile.ZipFile(io.BytesIO(content)) as source:
        members = {name: source.read(name) for name in source.namelist()}
    numbers: dict[str, str] = {}

    def renumber(match: re.Match[str]) -> str:
        if match[1] is not None:
            return match[1] + numbers.setdefault(match[2], str(len(numbers) + 1))
        return match[3] + numbers.setdefault(match[4], str(len(numbers) + 1)) + match[5]

    schema = _ADDRESS.sub(renumber, members.pop(_SCHEMA).decode())
    named = {_renamed(name, numbers): data for name, data in members.items()}
    target = io.BytesIO()
    with zipfile.ZipFile(target, "w", zipfile.ZIP_STORED) as archive:
        for name in sorted(named):
            archive.writestr(zipfile.ZipInfo(name, _DATE), named[name])
        archive.writestr(zipfile.ZipInfo(_SCHEMA, _DATE), schema)
    return target.getvalue()


def _renamed(name: str, numbers: dict[str, str]) -> str:
    address, dot, ending = name.partition(".")
    return f"{numbers.get(address, address)}{dot}{ending}"
