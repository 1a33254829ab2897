"""Settings of logging in: what is taken, and what each mistake is told."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from downhaul_server.services.grants import ROLES_OF_PEOPLE
from downhaul_server.settings import Settings, SettingsError
from downhaul_server.signing_in import ROLES

OIDC = {
    "DOWNHAUL_OIDC_ISSUER": "https://id.example.com/realms/staff",
    "DOWNHAUL_OIDC_CLIENT_ID": "downhaul",
    "DOWNHAUL_OIDC_GROUPS": json.dumps({"flag-admins": {"role": "admin"}, "*": [{"role": "viewer"}]}),
}


def test_without_any_setting_people_log_in_by_password_for_a_day_at_most() -> None:
    found = Settings.from_environment({}).signing_in
    assert (found.idle_s, found.absolute_s, found.insecure_cookies, found.provider) == (28800, 86400, False, None)


def test_a_provider_with_its_groups(tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("s3cret\n")
    more = {"DOWNHAUL_OIDC_CLIENT_SECRET_FILE": str(tmp_path / "secret"), "DOWNHAUL_OIDC_NAME": "Acme"}
    found = Settings.from_environment(OIDC | more)
    provider = found.signing_in.provider
    assert provider is not None and (provider.client_secret, provider.name) == ("s3cret", "Acme")
    everywhere = {"services": ["*"], "environments": ["*"]}
    assert provider.grants(["flag-admins", "other"]) == [
        {"role": "viewer"} | everywhere,
        {"role": "admin"} | everywhere,
    ]
    assert "s3cret" not in repr(found)


def test_groups_from_a_file(tmp_path: Path) -> None:
    (tmp_path / "groups.json").write_text('{"payments": {"role": "editor", "services": ["ledger"]}}')
    environ = {k: v for k, v in OIDC.items() if k != "DOWNHAUL_OIDC_GROUPS"}
    environ["DOWNHAUL_OIDC_GROUPS_FILE"] = str(tmp_path / "groups.json")
    provider = Settings.from_environment(environ).signing_in.provider
    assert provider is not None
    assert provider.grants(["payments"]) == [{"role": "editor", "services": ["ledger"], "environments": ["*"]}]
    assert provider.grants(["other"]) == []


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("DOWNHAUL_SESSION_IDLE", "1h"),
        ("DOWNHAUL_SESSION_MAX", "10"),
        ("DOWNHAUL_INSECURE_COOKIES", "yes"),
        ("DOWNHAUL_OIDC_ISSUER", "http://id.example.com"),
        ("DOWNHAUL_OIDC_ISSUER", "id.example.com"),
        ("DOWNHAUL_OIDC_ISSUER", ""),
        ("DOWNHAUL_OIDC_CLIENT_ID", ""),
        ("DOWNHAUL_OIDC_GROUPS", ""),
        ("DOWNHAUL_OIDC_GROUPS", "flag-admins=admin"),
        ("DOWNHAUL_OIDC_GROUPS", "{}"),
        ("DOWNHAUL_OIDC_GROUPS", '{"a": {"role": "killer"}}'),
        ("DOWNHAUL_OIDC_GROUPS", '{"a": {"role": "god"}}'),
        ("DOWNHAUL_OIDC_GROUPS", '{"a": "admin"}'),
        ("DOWNHAUL_OIDC_GROUPS", '{"a": {"role": "admin", "service": ["x"]}}'),
        ("DOWNHAUL_OIDC_GROUPS", '{"a": {"role": "admin", "services": "x"}}'),
        ("DOWNHAUL_OIDC_SCOPES", "profile email"),
    ],
)
def test_a_wrong_value_is_said_with_its_name(name: str, value: str) -> None:
    with pytest.raises(SettingsError, match=name):
        Settings.from_environment(OIDC | {name: value})


def test_the_roles_are_those_that_people_can_have() -> None:
    assert ROLES == ROLES_OF_PEOPLE
