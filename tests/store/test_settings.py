"""Settings are read once, and a wrong one stops the start with an error that names it."""

from __future__ import annotations

import stat
from concurrent.futures import ThreadPoolExecutor
from ipaddress import ip_network
from pathlib import Path

import pytest
from downhaul_server import redis_address
from downhaul_server.settings import Settings, SettingsError


def test_without_any_variable_there_are_safe_defaults(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    settings = Settings.from_environment({})
    assert settings == Settings(data_dir=tmp_path / ".local/state/downhaul")
    assert (settings.bind, settings.workers, settings.redis_url, settings.admin_token) == (
        "127.0.0.1:8080",
        2,
        None,
        None,
    )
    assert (settings.default_environment, settings.log_level, settings.log_format) == ("production", "info", "json")
    assert (settings.redis_replicas, settings.max_body_bytes) == (0, 1024 * 1024)


def test_every_variable_is_honoured(tmp_path: Path) -> None:
    settings = Settings.from_environment(
        {
            "DOWNHAUL_BIND": "[::1]:9000",
            "DOWNHAUL_DATA_DIR": str(tmp_path),
            "DOWNHAUL_REDIS_URL": "rediss://:secret@redis.example:6380/1",
            "DOWNHAUL_ADMIN_TOKEN": "letmein",
            "DOWNHAUL_WORKERS": "4",
            "DOWNHAUL_DEFAULT_ENVIRONMENT": "live",
            "DOWNHAUL_LOG_LEVEL": "DEBUG",
            "DOWNHAUL_LOG_FORMAT": "console",
            "DOWNHAUL_REDIS_REPLICAS": "1",
            "DOWNHAUL_MAX_BODY_BYTES": "65536",
            "DOWNHAUL_STREAM_AGE": "60",
            "DOWNHAUL_MAX_STREAMS": "500",
            "DOWNHAUL_MAX_STREAMS_PER_KEY": "50",
            "DOWNHAUL_PUBLIC_URL": "https://flags.example.com/",
            "DOWNHAUL_WEBHOOK_ALLOW": "10.1.0.0/16, fd00::/8",
            "DOWNHAUL_TRUSTED_PROXIES": "10.2.0.0/16,2001:db8::1",
        }
    )
    assert settings == Settings(
        data_dir=tmp_path,
        host="::1",
        port=9000,
        redis_url="rediss://:secret@redis.example:6380/1",
        admin_token="letmein",
        workers=4,
        default_environment="live",
        log_level="debug",
        log_format="console",
        redis_replicas=1,
        max_body_bytes=65536,
        stream_age=60.0,
        max_streams=500,
        max_streams_per_key=50,
        public_url="https://flags.example.com",
        webhook_allow=(ip_network("10.1.0.0/16"), ip_network("fd00::/8")),
        trusted_proxies=(ip_network("10.2.0.0/16"), ip_network("2001:db8::1/128")),
    )
    assert settings.bind == "[::1]:9000"


def test_variables_of_the_sdk_and_empty_ones_are_left_alone() -> None:
    settings = Settings.from_environment({"DOWNHAUL_URL": "x", "DOWNHAUL_SERVICE": "y", "DOWNHAUL_WORKERS": " "})
    assert settings.workers == 2


def test_one_key_may_hold_all_streams_unless_it_is_said_otherwise() -> None:
    assert Settings.from_environment({"DOWNHAUL_MAX_STREAMS": "500"}).max_streams_per_key == 500


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [
        ("DOWNHAUL_BIND", "8080", "expected host:port"),
        ("DOWNHAUL_BIND", "localhost", "expected host:port"),
        ("DOWNHAUL_BIND", "localhost:http", "expected host:port"),
        ("DOWNHAUL_BIND", "localhost:65536", "expected host:port"),
        ("DOWNHAUL_BIND", "::1:8080", "expected host:port"),
        ("DOWNHAUL_DATA_DIR", __file__, "expected a folder"),
        ("DOWNHAUL_REDIS_URL", "http://localhost", "expected redis://"),
        ("DOWNHAUL_REDIS_URL", "localhost:6379", "expected redis://"),
        ("DOWNHAUL_REDIS_URL", "redis://", "names no host"),
        ("DOWNHAUL_REDIS_URL", "unix://", "names no socket"),
        ("DOWNHAUL_REDIS_URL", "redis://localhost:many/0", "port"),
        ("DOWNHAUL_ADMIN_TOKEN", "two words", "expected printable ASCII"),
        ("DOWNHAUL_ADMIN_TOKEN", "schlüssel", "expected printable ASCII"),
        ("DOWNHAUL_WORKERS", "0", "expected an integer from 1 to 64"),
        ("DOWNHAUL_WORKERS", "65", "expected an integer from 1 to 64"),
        ("DOWNHAUL_WORKERS", "two", "expected an integer"),
        ("DOWNHAUL_WORKERS", "2.0", "expected an integer"),
        ("DOWNHAUL_WORKERS", "٣", "expected an integer"),
        ("DOWNHAUL_DEFAULT_ENVIRONMENT", "Production", "expected an environment's key"),
        ("DOWNHAUL_DEFAULT_ENVIRONMENT", "a" * 64, "expected an environment's key"),
        ("DOWNHAUL_LOG_LEVEL", "loud", "expected one of debug, info"),
        ("DOWNHAUL_LOG_FORMAT", "xml", "expected one of json, console"),
        ("DOWNHAUL_REDIS_REPLICAS", "-1", "expected an integer from 0 to 16"),
        ("DOWNHAUL_STREAM_AGE", "9", "expected an integer from 10"),
        ("DOWNHAUL_MAX_STREAMS", "-1", "expected an integer from 0"),
        ("DOWNHAUL_MAX_STREAMS_PER_KEY", "all", "expected an integer from 0"),
        ("DOWNHAUL_PUBLIC_URL", "flags.example.com", "expected the address"),
        ("DOWNHAUL_PUBLIC_URL", "https://me:secret@flags.example.com", "expected the address"),
        ("DOWNHAUL_PUBLIC_URL", "https://flags.example.com:70000", "expected the address"),
        ("DOWNHAUL_WEBHOOK_ALLOW", "10.0.0.1/8", "expected networks such as"),
        ("DOWNHAUL_WEBHOOK_ALLOW", "10.0.0.0/8,localhost", "expected networks such as"),
        ("DOWNHAUL_TRUSTED_PROXIES", "proxy.example.com", "expected networks such as"),
        ("DOWNHAUL_MAX_BODY_BYTES", "1MB", "expected an integer from 1024"),
        ("DOWNHAUL_MAX_BODY_BYTES", "1023", "expected an integer from 1024"),
    ],
)
def test_a_wrong_value_names_the_variable_and_what_was_expected(name: str, value: str, expected: str) -> None:
    with pytest.raises(SettingsError, match=rf"^{name}: .*{expected}"):
        Settings.from_environment({name: value})


class TestSecrets:
    @pytest.mark.parametrize("name", ["DOWNHAUL_REDIS_URL", "DOWNHAUL_ADMIN_TOKEN"])
    def test_a_secret_may_come_from_a_file(self, name: str, tmp_path: Path) -> None:
        file = tmp_path / "secret"
        file.write_text("redis://:hush@localhost:6379/0\n")
        settings = Settings.from_environment({f"{name}_FILE": str(file)})
        assert "redis://:hush@localhost:6379/0" in (settings.redis_url, settings.admin_token)

    @pytest.mark.parametrize("name", ["DOWNHAUL_REDIS_URL", "DOWNHAUL_ADMIN_TOKEN"])
    def test_both_forms_at_once_are_an_error(self, name: str, tmp_path: Path) -> None:
        with pytest.raises(SettingsError, match=f"{name} and {name}_FILE are both set"):
            Settings.from_environment({name: "redis://localhost", f"{name}_FILE": str(tmp_path)})

    def test_a_file_that_is_not_there_is_named(self, tmp_path: Path) -> None:
        with pytest.raises(SettingsError, match=r"^DOWNHAUL_ADMIN_TOKEN_FILE: .*missing cannot: No such file"):
            Settings.from_environment({"DOWNHAUL_ADMIN_TOKEN_FILE": str(tmp_path / "missing")})

    def test_an_empty_file_is_an_error(self, tmp_path: Path) -> None:
        (tmp_path / "empty").write_text("\n")
        with pytest.raises(SettingsError, match=r"^DOWNHAUL_ADMIN_TOKEN_FILE: .*is empty"):
            Settings.from_environment({"DOWNHAUL_ADMIN_TOKEN_FILE": str(tmp_path / "empty")})

    def test_a_file_that_is_no_text_is_an_error(self, tmp_path: Path) -> None:
        (tmp_path / "binary").write_bytes(b"\xff\xfe")
        with pytest.raises(SettingsError, match=r"^DOWNHAUL_ADMIN_TOKEN_FILE: .*not UTF-8"):
            Settings.from_environment({"DOWNHAUL_ADMIN_TOKEN_FILE": str(tmp_path / "binary")})

    def test_errors_and_representations_never_repeat_a_secret(self, tmp_path: Path) -> None:
        for environ in ({"DOWNHAUL_REDIS_URL": "redis://:hush@"}, {"DOWNHAUL_ADMIN_TOKEN": "hush hush"}):
            with pytest.raises(SettingsError) as error:
                Settings.from_environment(environ)
            assert "hush" not in str(error.value)
        assert "hush" not in repr(Settings(data_dir=tmp_path, redis_url="redis://:hush@h", admin_token="hush"))


class TestDataFolder:
    def test_the_default_follows_xdg(self) -> None:
        assert Settings.from_environment({"XDG_STATE_HOME": "/state"}).data_dir == Path("/state/downhaul")

    def test_a_relative_xdg_path_is_ignored_as_its_specification_says(self) -> None:
        assert Settings.from_environment({"XDG_STATE_HOME": "state"}).data_dir == Path.home() / ".local/state/downhaul"

    def test_preparing_makes_the_folder_private_and_generates_a_token_once(self, tmp_path: Path) -> None:
        settings = Settings(data_dir=tmp_path / "deep" / "data")
        first = settings.prepare()
        assert first.admin_token is not None
        assert len(first.admin_token) >= 40
        assert settings.prepare() == first
        assert settings.admin_token_file.read_text().strip() == first.admin_token
        assert stat.S_IMODE(settings.admin_token_file.stat().st_mode) == 0o600
        assert stat.S_IMODE(settings.data_dir.stat().st_mode) == 0o700
        assert [path.name for path in settings.data_dir.iterdir()] == ["admin-token"]

    def test_many_processes_agree_on_one_generated_token(self, tmp_path: Path) -> None:
        settings = Settings(data_dir=tmp_path / "data")
        with ThreadPoolExecutor(8) as pool:
            tokens = {job.result().admin_token for job in [pool.submit(settings.prepare) for _ in range(40)]}
        assert len(tokens) == 1

    def test_a_token_that_was_set_is_kept_and_not_written_down(self, tmp_path: Path) -> None:
        settings = Settings(data_dir=tmp_path, admin_token="letmein")
        assert settings.prepare() is settings
        assert not settings.admin_token_file.exists()

    def test_a_folder_that_cannot_be_made_is_an_error(self, tmp_path: Path) -> None:
        (tmp_path / "file").touch()
        with pytest.raises(SettingsError, match=r"^DOWNHAUL_DATA_DIR: expected a folder"):
            Settings(data_dir=tmp_path / "file" / "data").prepare()

    def test_a_folder_that_is_there_keeps_its_mode(self, tmp_path: Path) -> None:
        tmp_path.chmod(0o755)
        Settings(data_dir=tmp_path).prepare()
        assert stat.S_IMODE(tmp_path.stat().st_mode) == 0o755


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("redis+sentinel://a:1,b/flags", ("sentinel", (("a", 1), ("b", 26379)), "flags", 0)),
        ("rediss+sentinel://u:p%40@[::1]:2/flags/3", ("sentinel", (("::1", 2),), "flags", 3)),
        ("redis+cluster://a:1,b:2", ("cluster", (("a", 1), ("b", 2)), "", 0)),
        ("rediss+cluster://:p@a", ("cluster", (("a", 6379),), "", 0)),
        ("redis://a:1/4", ("single", (), "", 4)),
    ],
)
def test_addresses_of_redis(url: str, expected: tuple[object, ...]) -> None:
    found = redis_address.read(url)
    assert (found.kind.value, found.hosts, found.name, int(found.options.get("db") or 0)) == expected
    assert ("connection_class" in found.options) is url.startswith("rediss")
    if "@" in url:
        assert found.options["password"] == ("p@" if "%40" in url else "p")


def test_sentinels_have_accounts_and_certificates_of_their_own() -> None:
    url = "rediss+sentinel://ann:one@s/flags?sentinel_username=bob&sentinel_password=two&ssl_ca_certs=/ca.pem"
    found = redis_address.read(url)
    assert (found.options["username"], found.options["password"]) == ("ann", "one")
    login = {name: found.sentinel_options[name] for name in ("username", "password", "ssl_ca_certs")}
    assert login == {"username": "bob", "password": "two", "ssl_ca_certs": "/ca.pem"}
    assert "two" not in repr(found) and "one" not in repr(found)


@pytest.mark.parametrize(
    "url",
    [
        "redis+sentinel://hush@/flags",
        "redis+sentinel://hush@a:1",
        "redis+sentinel://hush@a:99999/flags",
        "redis+sentinel://hush@a:1,,b/flags",
        "redis+cluster://hush@a:1/3",
        "unix+sentinel://hush@a/flags",
        "redis+other://hush@a",
        "redis+cluster://hush@[a",
    ],
)
def test_an_address_of_redis_that_is_none_is_refused_without_its_password(url: str) -> None:
    with pytest.raises(SettingsError, match="DOWNHAUL_REDIS_URL: expected redis://") as refused:
        Settings.from_environment({"DOWNHAUL_REDIS_URL": url})
    assert "hush" not in str(refused.value)
