"""Where a setting comes from, which source wins, and what is said of a wrong one."""

from __future__ import annotations

from pathlib import Path

import pytest

from everloop.kernel.settings import InvalidSettingError, Settings, load_settings


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Work in an empty folder."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_defaults_lie_in_the_working_folder_on_loopback(folder: Path) -> None:
    settings = load_settings({})

    assert settings.home == folder / ".everloop"
    assert settings.catalog_address == f"sqlite:///{folder / '.everloop' / 'catalog.db'}"
    assert settings.objects_address == str(folder / ".everloop" / "objects")
    assert (settings.api_host, settings.gateway_host) == ("127.0.0.1", "127.0.0.1")
    assert settings.token == ""


def test_the_nearest_home_upward_is_found(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (folder / ".everloop").mkdir()
    (folder / "a" / "b").mkdir(parents=True)
    monkeypatch.chdir(folder / "a" / "b")

    assert load_settings({}).home == folder / ".everloop"


def test_arguments_win_over_variables_and_those_over_the_file(folder: Path) -> None:
    (folder / "everloop.toml").write_text('api_port = 1001\ngateway_port = 1002\ntoken = "file"\n')

    settings = load_settings({"EVERLOOP_API_PORT": "2001", "EVERLOOP_GATEWAY_PORT": "2002"}, api_port=3001)

    assert (settings.api_port, settings.gateway_port, settings.token) == (3001, 2002, "file")


def test_a_home_in_the_file_is_beside_the_file(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (folder / "everloop.toml").write_text('home = "kept/here"\n')
    (folder / "deep").mkdir()
    monkeypatch.chdir(folder / "deep")

    assert load_settings({}).home == folder / "kept" / "here"


def test_another_file_can_be_named(folder: Path) -> None:
    (folder / "other.toml").write_text("api_port = 4001\n")

    assert load_settings({"EVERLOOP_CONFIG": str(folder / "other.toml")}).api_port == 4001


@pytest.mark.usefixtures("folder")
def test_variables_are_read_by_the_type_of_their_setting() -> None:
    settings = load_settings(
        {
            "EVERLOOP_VERIFY_READS": "false",
            "EVERLOOP_SCHEDULER_EVERY_S": "0.5",
            "EVERLOOP_WEBHOOK_HOSTS": '["a.example", "b.example:8443"]',
            "EVERLOOP_OBJECTS_OPTIONS": '{"region": "eu"}',
            "EVERLOOP_TOKEN": "123",
            "EVERLOOP_UNRELATED": "x",
        }
    )

    assert settings.verify_reads is False
    assert settings.scheduler_every_s == 0.5
    assert settings.webhook_hosts == ["a.example", "b.example:8443"]
    assert settings.objects_options == {"region": "eu"}
    assert settings.token == "123"


@pytest.mark.usefixtures("folder")
@pytest.mark.parametrize(
    "variables",
    [{"EVERLOOP_API_PORT": "many"}, {"EVERLOOP_API_PORT": "70000"}, {"EVERLOOP_API_PORT": "0"},
     {"EVERLOOP_WEBHOOK_HOSTS": "a.example"}],
)  # fmt: skip
def test_a_variable_of_the_wrong_form_is_refused(variables: dict[str, str]) -> None:
    with pytest.raises(InvalidSettingError) as caught:
        load_settings(variables)

    assert next(iter(variables)).removeprefix("EVERLOOP_").lower() in str(caught.value).lower()


def test_an_unknown_setting_names_its_source_and_the_nearest(folder: Path) -> None:
    (folder / "everloop.toml").write_text("api_prot = 1\n")

    with pytest.raises(InvalidSettingError, match=r"everloop\.toml.*api_prot.*Did you mean api_port"):
        load_settings({})


@pytest.mark.parametrize("content", [b"api_port = ", b"\xff\xfe"])
def test_a_file_that_cannot_be_read_is_named(folder: Path, content: bytes) -> None:
    (folder / "everloop.toml").write_bytes(content)

    with pytest.raises(InvalidSettingError, match=r"everloop\.toml cannot be read"):
        load_settings({})


def test_a_missing_named_file_is_refused(folder: Path) -> None:
    with pytest.raises(InvalidSettingError, match="nowhere"):
        load_settings({"EVERLOOP_CONFIG": str(folder / "nowhere.toml")})


def test_every_setting_is_described() -> None:
    described = Settings.__doc__ or ""

    assert [name for name in Settings.__struct_fields__ if name not in described] == []
    assert Path(Settings().home) == Path(".everloop")
