"""Files of a store behind an obstore URL (S3, Google Cloud Storage, Azure, memory).

A put there is atomic by the service's own promise. Tests: tests/integration/test_objects_s3.py.
"""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import obstore
from obstore.exceptions import AlreadyExistsError, BaseError, PreconditionError
from obstore.store import from_url

from everloop.core.errors import InvalidInputError
from everloop.kernel.objects.files.protocol import StoredFile, StoreUnavailableError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence
    from pathlib import Path

    from typing_extensions import Buffer

# The largest batch that S3 deletes in one request.
_DELETE_AT_ONCE = 1_000
_LIST_AT_ONCE = 1_000


class InvalidStoreOptionError(InvalidInputError):
    """The object store does not know an option."""

    code = "objects.invalid-option"


class RemoteFiles:
    """Files below one URL; see `Files`."""

    def __init__(self, url: str, *, staging: Path, options: Mapping[str, str]) -> None:
        self.place = url
        self.staging = staging
        staging.mkdir(parents=True, exist_ok=True)
        client = {"allow_http": True} if str(options.get("endpoint", "")).startswith("http://") else {}
        with self._speaking(), _refusing_options(url, options):
            self._store = from_url(url, config=dict(options), client_options=client)  # type: ignore[call-overload]  # options are the user's, obstore checks them

    def write(self, name: str, pieces: Sequence[Buffer], *, durable: bool) -> None:
        """Upload a new file from pieces."""
        del durable
        with self._speaking():
            obstore.put(self._store, name, b"".join(pieces))

    def adopt(self, name: str, staged: Path, *, durable: bool) -> None:
        """Upload a staged file and remove it."""
        del durable
        with self._speaking():
            obstore.put(self._store, name, staged)
        staged.unlink()

    def read(self, name: str, start: int = 0, length: int | None = None) -> bytes:
        """Download bytes of a file."""
        if length == 0:
            return b""
        with self._speaking():
            if start == 0 and length is None:
                return obstore.get(self._store, name).bytes().to_bytes()
            end = None if length is None else start + length
            if end is None:
                end = obstore.head(self._store, name)["size"]
            return obstore.get_range(self._store, name, start=start, end=end).to_bytes()

    def size(self, name: str) -> int | None:
        """Return the size, or None when there is no such file."""
        try:
            with self._speaking():
                return obstore.head(self._store, name)["size"]
        except FileNotFoundError:
            return None

    def list(self, prefix: str) -> Iterator[StoredFile]:
        """Yield the files of a folder and its sub-folders."""
        with self._speaking():
            for page in obstore.list(self._store, prefix, chunk_size=_LIST_AT_ONCE):
                for meta in page:
                    yield StoredFile(meta["path"], meta["size"], meta["last_modified"])

    def delete(self, names: Iterable[str]) -> None:
        """Delete files."""
        pending = list(names)
        for start in range(0, len(pending), _DELETE_AT_ONCE):
            with self._speaking():
                try:
                    obstore.delete(self._store, pending[start : start + _DELETE_AT_ONCE])
                except FileNotFoundError:
                    self._delete_singly(pending[start : start + _DELETE_AT_ONCE])

    def swap(self, name: str, content: bytes, *, expected: bytes | None) -> bool:
        """Write a small file if it holds what is expected, by the service's conditional put."""
        mode: Any = "create"
        with self._speaking():
            if expected is not None:
                try:
                    found = obstore.get(self._store, name)
                except FileNotFoundError:
                    return False
                if found.bytes().to_bytes() != expected:
                    return False
                # A service without versions of objects has none to name.
                mode = {key: found.meta[key] for key in ("e_tag", "version") if found.meta[key] is not None}
            try:
                obstore.put(self._store, name, content, mode=mode)
            except (AlreadyExistsError, PreconditionError):
                return False
        return True

    def path(self, name: str) -> Path | None:
        """Return None: the files are elsewhere."""
        del name
        return None

    def _delete_singly(self, names: Sequence[str]) -> None:
        for name in names:
            try:
                obstore.delete(self._store, name)
            except FileNotFoundError:
                continue

    @contextmanager
    def _speaking(self) -> Iterator[None]:
        try:
            yield
        except BaseError as error:
            reason = str(error).splitlines()[0]
            raise StoreUnavailableError(
                f"the object store {self.place} does not answer as it should: {reason}. "
                "Check its address, credentials and region, then repeat the command.",
                subject=self.place,
            ) from error


@contextmanager
def _refusing_options(url: str, options: Mapping[str, str]) -> Iterator[None]:
    """Turn what obstore does about an unknown option, a panic of its Rust half, into an error of ours."""
    try:
        yield
    except BaseException as error:
        # The panic's class cannot be imported and derives from BaseException.
        if type(error).__name__ != "PanicException":
            raise
        raise InvalidStoreOptionError(
            f"the object store {url} does not take one of the options {', '.join(sorted(options)) or 'given'}. See objects_options in "
            "the settings; for S3: region, endpoint, access_key_id, secret_access_key, session_token.",
            subject=url,
        ) from None
