"""A ring refuses what cannot work, shows no secret, and derives for every purpose a key of its own."""

from typing import Any

import pytest

from tornado_session import ConfigurationError, KeyRing, ProtectionError

OLD = "the old secret, of 32 characters"
NEW = "the new secret, of 32 characters"
RING = KeyRing({1: OLD, 2: NEW}, current=2)


def test_the_current_key_writes_and_every_key_reads() -> None:
    written_before = KeyRing({1: OLD}, current=1).protector("p").protect(b"data")

    assert RING.protector("p").unprotect(written_before) == b"data"
    with pytest.raises(ProtectionError):
        KeyRing({1: OLD}, current=1).protector("p").unprotect(RING.protector("p").protect(b"data"))


def test_neither_repr_nor_str_shows_a_secret() -> None:
    assert repr(RING) == "KeyRing(ids=[1, 2], current=2)"
    assert str(RING) == repr(RING)
    assert RING.current == 2


def test_a_single_cookie_secret_has_the_id_zero_and_can_become_a_dict() -> None:
    single = KeyRing.from_cookie_secret(OLD)
    several = KeyRing.from_cookie_secret({0: OLD, 1: NEW}, key_version=1)

    assert single.current == 0
    assert several.protector("p").unprotect(single.protector("p").protect(b"data")) == b"data"


def test_a_secret_may_be_text_or_the_same_bytes() -> None:
    as_text, as_bytes = KeyRing({0: OLD}, current=0), KeyRing({0: OLD.encode()}, current=0)

    assert as_text.protector("p").unprotect(as_bytes.protector("p").protect(b"data")) == b"data"


@pytest.mark.parametrize(
    ("keys", "current", "message"),
    [
        ({}, 1, "keys is empty; give at least one secret"),
        ({1: OLD}, 2, r"current is 2, which is not among the key ids \['1'\]"),
        ({1: OLD}, "1", "current is '1', which is not among the key ids"),
        ({1: OLD}, True, "key ids are int or str, but one is bool"),
        ({1: OLD}, None, "key ids are int or str, but one is NoneType"),
        ({1: OLD}, [], "key ids are int or str, but one is list"),
        ({1.5: OLD}, 1.5, "key ids are int or str, but one is float"),
        ({"": OLD}, "", "a key id has 1 to 64 bytes, but one has 0"),
        ({"é" * 33: OLD}, "é" * 33, "a key id has 1 to 64 bytes, but one has 66"),
        ({1: "fifteen letters"}, 1, "the secret of key 1 has 15 characters, but needs at least 16; make one with"),
        ({1: b""}, 1, "the secret of key 1 has 0 characters"),
        ({1: None}, 1, "a secret is str or bytes, but one is NoneType"),
        ({OLD: 1}, 1, "a secret is str or bytes, but one is int"),
        ([OLD], 0, "keys is a dict of id to secret.*not list"),
        (OLD, 0, "keys is a dict of id to secret.*not str"),
    ],
)
def test_a_ring_that_cannot_work_is_refused_without_showing_a_secret(keys: Any, current: Any, message: str) -> None:
    with pytest.raises(ConfigurationError, match=message) as caught:
        KeyRing(keys, current=current)

    assert OLD not in str(caught.value)
    assert "fifteen" not in str(caught.value)


@pytest.mark.parametrize(
    ("secret", "version", "message"),
    [
        (OLD, 1, "key_version goes with a dict of secrets, but cookie_secret is a single one"),
        ({1: OLD}, None, "cookie_secret is a dict of versions; say with key_version which one is current"),
        ({1: OLD}, 2, "key_version is 2, which is not among the versions of cookie_secret"),
        ({1: "fifteen letters"}, 1, "cookie_secret does not work: the secret of key 1 has 15 characters"),
        ("fifteen letters", None, "cookie_secret does not work: the secret of key 0 has 15 characters"),
        (42, None, "cookie_secret must be a string or a dict of version to string, not int"),
        ([OLD], None, "cookie_secret must be a string or a dict of version to string, not list"),
    ],
)
def test_a_cookie_secret_that_cannot_work_is_refused(secret: Any, version: Any, message: str) -> None:
    with pytest.raises(ConfigurationError, match=message) as caught:
        KeyRing.from_cookie_secret(secret, version)

    assert OLD not in str(caught.value)
    assert "fifteen" not in str(caught.value)


def test_the_shortest_secret_and_the_longest_id_that_are_allowed_work() -> None:
    shortest = KeyRing({"i" * 64: "s" * 16}, current="i" * 64).protector("p")

    assert shortest.unprotect(shortest.protect(b"data")) == b"data"


@pytest.mark.parametrize("purposes", [(), ("",), ("a", ""), (b"a",), (None,), (1,)])
def test_a_purpose_is_text_that_is_not_empty(purposes: Any) -> None:
    with pytest.raises(ConfigurationError, match="a protector needs one or more purposes"):
        RING.protector(*purposes)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (("a", "bc"), ("ab", "c")),
        (("a",), ("a", "a")),
        (("abc",), ("a", "bc")),
        (("a\x00b",), ("a", "b")),
        (("a",), ("A",)),
        (("\x00\x00\x00\x01a",), ("a",)),
        (("session cookie", "x"), ("temp_data cookie", "x")),
    ],
)
def test_what_one_purpose_wrote_no_other_opens(one: tuple[str, ...], other: tuple[str, ...]) -> None:
    written = RING.protector(*one).protect(b"data")

    assert RING.protector(*one).unprotect(written) == b"data"
    with pytest.raises(ProtectionError, match="forged, damaged, or made for another purpose"):
        RING.protector(*other).unprotect(written)


def test_two_rings_of_different_secrets_open_nothing_of_each_other() -> None:
    written = KeyRing({1: OLD}, current=1).protector("p").protect(b"data")

    with pytest.raises(ProtectionError):
        KeyRing({1: NEW}, current=1).protector("p").unprotect(written)


def test_a_fingerprint_finds_under_every_key_and_the_current_one_comes_first() -> None:
    old, new = KeyRing({1: OLD}, current=1), KeyRing({2: NEW}, current=2)

    assert RING.fingerprints("owner", "ann") == [*new.fingerprints("owner", "ann"), *old.fingerprints("owner", "ann")]


def test_a_fingerprint_depends_on_purpose_and_data_and_shows_neither() -> None:
    (one,), (again,) = (KeyRing({1: OLD}, current=1).fingerprints("owner", "ann") for _ in range(2))
    others = [
        KeyRing({1: OLD}, current=1).fingerprints(purpose, data)[0]
        for purpose, data in [("owner", "anna"), ("owner", "Ann"), ("tag", "ann"), ("owne", "rann")]
    ]

    assert one == again
    assert len(one) == 64
    assert len({one, *others}) == 5
