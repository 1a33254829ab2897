"""Which passwords are taken, and that working them out costs neither memory nor time of others without bound."""

from __future__ import annotations

import threading

import pytest
from argon2 import PasswordHasher
from downhaul_server.services import passwords
from downhaul_server.services.errors import Invalid, Overloaded
from downhaul_server.services.passwords import AT_ONCE, Passwords, check
from support.waiting import wait_until


@pytest.mark.parametrize(
    "password",
    [
        "short",
        "eleven char",
        "x" * 129,
        "password1234",
        "Password1234!",
        "passwordpassword",
        "iloveyou2024!!",
        "qwertyuiop12",
        "123456789012",
        "abcdefghijkl",
        "aaaaaaaaaaab",
        "ada.lovelace12",
        "downhaul-2026",
    ],
)
def test_what_is_guessed_first_is_not_taken(password: str) -> None:
    with pytest.raises(Invalid) as refused:
        check(password, about=("ada", "Ada Lovelace", "ada@example.com"))
    assert refused.value.errors[0][0] == ("password",)
    assert password not in str(refused.value)


@pytest.mark.parametrize(
    "password",
    ["seven wild geese", "пароль на каждый день", "sdkfjh2398sdf", "🐟🐠🐡🦈🐬🐳🐋🦭🦑🦐🦀🦞", "x1" * 10 + "yz3Q"],
)
def test_everything_else_is_whatever_its_letters(password: str) -> None:
    check(password)


def test_the_hash_is_argon2id_with_the_library_s_parameters() -> None:
    stored = Passwords().hash("seven wild geese")
    assert stored.startswith("$argon2id$v=19$m=65536,t=3,p=4$")
    assert Passwords().verify(stored, "seven wild geese")
    assert not Passwords().verify(stored, "seven wild gees")


def test_the_same_letter_typed_in_two_ways_is_the_same() -> None:
    quick = Passwords(PasswordHasher(1, 8, 1))
    assert quick.verify(quick.hash("cafe\u0301 au lait olé"), "caf\u00e9 au lait olé")


def test_a_hash_with_older_parameters_is_seen() -> None:
    old = PasswordHasher(time_cost=1, memory_cost=8, parallelism=1).hash("seven wild geese")
    assert Passwords().outdated(old) and Passwords().verify(old, "seven wild geese")


@pytest.mark.parametrize("stored", [None, "", "not a hash", "$argon2id$v=19$m=65536,t=3,p=4$broken"])
def test_without_a_hash_nothing_is_right(stored: str | None) -> None:
    assert not Passwords(PasswordHasher(1, 8, 1)).verify(stored, "the password of nobody")


def test_only_a_few_are_worked_out_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(passwords, "PATIENCE_S", 0.05)
    release, inside = threading.Event(), list[str | bytes]()

    class Slow(PasswordHasher):
        def hash(self, password: str | bytes, *, salt: bytes | None = None) -> str:
            inside.append(password)
            release.wait(10)
            return "done"

    hashes = Passwords(Slow())
    threads = [threading.Thread(target=hashes.hash, args=(str(number),)) for number in range(AT_ONCE)]
    for thread in threads:
        thread.start()
    wait_until(lambda: len(inside) == AT_ONCE, "all room is taken")
    with pytest.raises(Overloaded):
        hashes.hash("one more")
    release.set()
    for thread in threads:
        thread.join()
    assert hashes.hash("afterwards") == "done"


def test_a_password_is_not_cut_off() -> None:
    quick = Passwords(PasswordHasher(1, 8, 1))
    longest = "0123456789abcdef" * 8
    stored = quick.hash(longest)
    assert quick.verify(stored, longest)
    assert not quick.verify(stored, longest + "x") and not quick.verify(stored, longest[:-1])
