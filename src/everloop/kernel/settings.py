"""Settings: defaults, then `everloop.toml`, then `EVERLOOP_*` variables, then arguments; later ones win.

Every field is a heading of docs/reference/settings.md. Tests: tests/unit/kernel/test_settings.py.
"""

from __future__ import annotations

import difflib
import os
import tomllib
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import msgspec

from everloop.core.errors import InvalidInputError

if TYPE_CHECKING:
    from collections.abc import Mapping

FILE = "everloop.toml"
PREFIX = "EVERLOOP_"
HOME = ".everloop"
Port = Annotated[int, msgspec.Meta(ge=1, le=65535)]


class InvalidSettingError(InvalidInputError):
    """A setting has an unknown name or a value of the wrong form."""

    code = "settings.invalid"


class Settings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What may be chosen.

    Attributes:
        home: folder of this home: catalog and objects unless they are elsewhere, prediction logs, keys, caches.
        url: address of a running Everloop; when set, `connect()` speaks to it and opens no home.
        token: secret the API and the gateway ask for; needed beyond loopback.
        catalog_url: `sqlite:///...` or `postgresql://...`; empty means a file in the home.
        objects_url: a folder, `s3://bucket/prefix`, `gs://...`, `az://...`; empty means a folder in the home.
        objects_options: options of the object store (region, endpoint, keys), by their names in the store's documentation.
        verify_reads: hash objects of up to 4 MiB when they are read; larger ones are checked by `everloop fsck`.
        cache_size_bytes: local cache of remote objects.
        api_host, api_port: where the API listens.
        gateway_host, gateway_port: where predictions are answered.
        allowed_hosts: names the API answers to besides loopback.
        checkpoint_file: where signed checkpoints of the event log are appended; empty means only on demand.
        scheduler_every_s: pause between two passes of the scheduler.
        executor: what runs the steps of pipelines that do not say: `inline`, `process` or `ray`.
        executor_address: of a Ray cluster, `host:6379` or `auto`; empty starts one on this machine, for each process that needs it.
        executor_workers: steps of a run at a time; 0 means one process, or as many as a Ray cluster takes.
        spool_dir: where a run keeps what its home does not have yet; empty means `spool` in the home, or for a client of a server
            `everloop/spool` below `XDG_STATE_HOME` (`~/.local/state`).
        capture_console: keep what a program prints while a run of it goes on.
        system_metrics_every_s: pause between two looks at processors, memory, disk, network and GPUs while a run goes on; 0 means never.
        watch: folders and URL prefixes whose files triggers may watch; none by default.
        webhook_hosts: `host` or `host:port` that webhooks may be sent to; none by default.
    """

    home: Path = Path(HOME)
    url: str = ""
    token: str = ""
    catalog_url: str = ""
    objects_url: str = ""
    objects_options: dict[str, str] = {}
    verify_reads: bool = True
    cache_size_bytes: int = 10 << 30
    api_host: str = "127.0.0.1"
    api_port: Port = 8787
    gateway_host: str = "127.0.0.1"
    gateway_port: Port = 8788
    allowed_hosts: list[str] = []
    checkpoint_file: str = ""
    scheduler_every_s: float = 1.0
    executor: str = "inline"
    executor_address: str = ""
    executor_workers: int = 0
    spool_dir: str = ""
    capture_console: bool = True
    system_metrics_every_s: float = 10.0
    watch: list[str] = []
    webhook_hosts: list[str] = []

    @property
    def catalog_address(self) -> str:
        """Return the catalog's URL with its default filled in."""
        return self.catalog_url or f"sqlite:///{self.home / 'catalog.db'}"

    @property
    def spool_folder(self) -> Path:
        """Return the folder of spools with its default filled in."""
        if self.spool_dir:
            return Path(self.spool_dir).expanduser()
        if not self.url:
            return self.home / "spool"
        state = os.environ.get("XDG_STATE_HOME") or "~/.local/state"
        return Path(state).expanduser() / "everloop" / "spool"

    @property
    def objects_address(self) -> str:
        """Return the object store's URL with its default filled in."""
        return self.objects_url or str(self.home / "objects")


def load_settings(environment: Mapping[str, str] | None = None, **arguments: Any) -> Settings:  # noqa: ANN401 - fields of Settings
    """Gather the settings from every source.

    Args:
        environment: variables to read; those of the process by default.
        **arguments: fields of `Settings`; None means not given.

    Raises:
        InvalidSettingError: a name is unknown or a value has the wrong form; the message names its source.
    """
    variables = os.environ if environment is None else environment
    given = {name: value for name, value in arguments.items() if value is not None}
    from_environment = _from_environment(variables)
    file = _find_file(variables)
    from_file = _from_file(file) if file else {}
    merged = {**from_file, **from_environment, **given}
    if "home" not in merged:
        merged["home"] = _nearest_home()
    settings = _convert(merged, f"{file or 'the settings'}")
    return msgspec.structs.replace(settings, home=Path(settings.home).expanduser().absolute())


def _nearest_home() -> Path:
    here = Path.cwd()
    for folder in (here, *here.parents):
        if (folder / HOME).is_dir():
            return folder / HOME
    return here / HOME


def _find_file(variables: Mapping[str, str]) -> Path | None:
    if named := variables.get(f"{PREFIX}CONFIG"):
        return Path(named)
    here = Path.cwd()
    return next((folder / FILE for folder in (here, *here.parents) if (folder / FILE).is_file()), None)


def _from_file(file: Path) -> dict[str, Any]:
    try:
        document = tomllib.loads(file.read_text())
    except (OSError, ValueError) as error:  # no TOML, or no UTF-8
        raise InvalidSettingError(
            f"{file} cannot be read: {error}. Mend it or move it away.", subject=str(file)
        ) from error
    _refuse_unknown(document, str(file))
    if "home" in document:
        document["home"] = file.parent / str(document["home"])
    return document


def _from_environment(variables: Mapping[str, str]) -> dict[str, Any]:
    found = {}
    for field in msgspec.structs.fields(Settings):
        if (text := variables.get(PREFIX + field.name.upper())) is not None:
            found[field.name] = _parse(field.name, field.type, text)
    return found


def _parse(name: str, kind: object, text: str) -> object:
    if kind in (str, Path):
        return text
    try:
        return msgspec.json.decode(text.encode())
    except msgspec.DecodeError:
        try:
            return msgspec.convert(text, kind, strict=False)
        except msgspec.ValidationError as error:
            raise InvalidSettingError(
                f"{PREFIX}{name.upper()}={text!r} is not valid: {error}.", subject=name
            ) from error


def _refuse_unknown(document: dict[str, Any], source: str) -> None:
    known = [field.name for field in msgspec.structs.fields(Settings)]
    for name in document:
        if name not in known:
            near = difflib.get_close_matches(name, known, n=1)
            hint = f" Did you mean {near[0]}?" if near else f" Known settings: {', '.join(known)}."
            raise InvalidSettingError(f"{source} sets {name!r}, which is not a setting.{hint}", subject=name)


def _convert(merged: dict[str, Any], source: str) -> Settings:
    _refuse_unknown(merged, source)
    plain = {name: str(value) if isinstance(value, Path) else value for name, value in merged.items()}
    try:
        return msgspec.convert(plain, Settings, strict=False, dec_hook=_path)
    except msgspec.ValidationError as error:
        raise InvalidSettingError(
            f"{source}: {error}. See `everloop doctor` for the values in force."
        ) from error


def _path(kind: type, value: object) -> object:
    if kind is Path:
        return Path(str(value))
    raise TypeError(kind)
