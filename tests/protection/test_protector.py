"""Whatever was not written by the same purpose under a key of the ring, and whole, raises ProtectionError."""

from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tornado_session import KeyRing, ProtectionError, UnknownKeyError
from tornado_session.testing import FakeClock

SECRET = "the only secret, in 32 characters"
DATA = b"payload \x00\xff"
MINUTE = timedelta(minutes=1)


def ring(key_id: int | str = 1) -> KeyRing:
    return KeyRing({key_id: SECRET}, current=key_id)


def written(clock: FakeClock | None = None) -> dict[str, bytes]:
    protector = ring().protector("p", clock=clock or FakeClock())
    return {"unlimited": protector.protect(DATA), "limited": protector.protect(DATA, expires_in=MINUTE)}


@given(st.binary(max_size=5000))
def test_what_was_protected_opens_and_shows_nothing_of_itself(data: bytes) -> None:
    protector = ring().protector("p")

    protected = protector.protect(data)

    assert protector.unprotect(protected) == data
    assert len(data) < 8 or data not in protected
    assert protected != protector.protect(data), "no two messages share a nonce"


@pytest.mark.parametrize("kind", ["unlimited", "limited"])
def test_every_single_flipped_bit_is_noticed(kind: str) -> None:
    protector, protected = ring().protector("p", clock=FakeClock()), written()[kind]

    opened = []
    for place in range(len(protected) * 8):
        damaged = bytearray(protected)
        damaged[place // 8] ^= 1 << place % 8
        with pytest.raises(ProtectionError):
            opened.append(protector.unprotect(bytes(damaged)))

    assert not opened


@pytest.mark.parametrize("kind", ["unlimited", "limited"])
def test_every_truncation_and_every_extension_is_noticed(kind: str) -> None:
    protector, protected = ring().protector("p", clock=FakeClock()), written()[kind]
    damaged = [protected[:end] for end in range(len(protected))]
    damaged += [protected[start:] for start in range(1, len(protected))]
    damaged += [protected + b"\x00", b"\x00" + protected, protected * 2]

    for wrong in damaged:
        with pytest.raises(ProtectionError):
            protector.unprotect(wrong)


def test_a_limited_payload_does_not_pass_for_an_unlimited_one() -> None:
    protector = ring().protector("p", clock=FakeClock())
    limited = written()["limited"]
    header = 2 + limited[1]

    without_expiry = b"\x01" + limited[1:header] + limited[header + 8 :]
    another_format = b"\x01" + limited[1:]

    for wrong in (without_expiry, another_format):
        with pytest.raises(ProtectionError):
            protector.unprotect(wrong)


@given(st.binary(max_size=300))
def test_any_bytes_raise_protection_error_and_nothing_else(data: bytes) -> None:
    with pytest.raises(ProtectionError):
        ring().protector("p").unprotect(data)


@given(st.sampled_from([1, 2]), st.integers(0, 255), st.binary(max_size=120))
def test_any_header_raises_protection_error_and_nothing_else(format_: int, size: int, rest: bytes) -> None:
    with pytest.raises(ProtectionError):
        ring().protector("p").unprotect(bytes((format_, size)) + rest)


@pytest.mark.parametrize("wrong", [None, "text", 1, bytearray(b"\x01"), memoryview(b"\x01")])
def test_what_is_not_bytes_does_not_open(wrong: Any) -> None:
    with pytest.raises(ProtectionError, match="protected data is bytes, not"):
        ring().protector("p").unprotect(wrong)


@pytest.mark.parametrize(
    ("protected", "message"),
    [
        (b"", "no known format"),
        (b"\x01", "no known format"),
        (b"\x03\x02i1" + bytes(60), "no known format"),
        (b"\x01\xff" + b"i" * 10, "cut short"),
        (b"\x01\x02i1" + bytes(39), "cut short"),
        (b"\x01\x00", "names its key in no known way"),
        (b"\x01\x00" + bytes(60), "names its key in no known way"),
        (b"\x01\x42i" + b"1" * 65 + bytes(60), "names its key in no known way"),
        (b"\x01\x42s" + b"a" * 65 + bytes(60), "names its key in no known way"),
        (b"\x01\x02x1" + bytes(60), "names its key in no known way"),
        (b"\x01\x02ix" + bytes(60), "names its key in no known way"),
        (b"\x01\x02s\xff" + bytes(60), "names its key in no known way"),
        (b"\x01\xc8s" + b"a" * 199 + bytes(60), "names its key in no known way"),
        (b"\x01\x02i1" + bytes(60), "forged, damaged, or made for another purpose"),
    ],
)
def test_the_error_says_what_is_wrong(protected: bytes, message: str) -> None:
    with pytest.raises(ProtectionError, match=message):
        ring().protector("p").unprotect(protected)


@pytest.mark.parametrize("key_id", [1, 2, 0, -7, 10**63, "1", "2030-01", "é" * 32, " ", "i1", "\U0001f511"])
def test_an_unknown_key_is_named_by_its_id_and_type(key_id: int | str) -> None:
    protected = ring(key_id).protector("p").protect(DATA)
    other = KeyRing({"another": SECRET}, current="another")

    assert ring(key_id).protector("p").unprotect(protected) == DATA
    with pytest.raises(UnknownKeyError) as caught:
        other.protector("p").unprotect(protected)

    assert caught.value.key_id == key_id
    assert type(caught.value.key_id) is type(key_id)
    assert str(caught.value) == f"made with key {key_id!r}, which is not on the key ring"


def test_the_ids_1_and_text_1_are_two_keys() -> None:
    protected = ring(1).protector("p").protect(DATA)

    with pytest.raises(UnknownKeyError):
        ring("1").protector("p").unprotect(protected)


def test_a_key_id_that_was_exchanged_for_another_of_the_ring_does_not_open() -> None:
    both = KeyRing({1: SECRET, 2: SECRET}, current=1).protector("p")
    protected = both.protect(DATA)

    with pytest.raises(ProtectionError, match="forged"):
        both.unprotect(protected[:2] + b"i2" + protected[4:])


def test_a_context_has_to_be_given_again() -> None:
    protector = ring().protector("p", clock=FakeClock())

    for protected in (protector.protect(DATA, context=b"c"), protector.protect(DATA, expires_in=MINUTE, context=b"c")):
        assert protector.unprotect(protected, context=b"c") == DATA
        for context in (b"", b"C", b"cc", b"\x00c"):
            with pytest.raises(ProtectionError, match="another purpose"):
                protector.unprotect(protected, context=context)


def test_a_context_and_a_header_are_not_mistaken_for_each_other() -> None:
    clock = FakeClock()
    protector = ring().protector("p", clock=clock)
    limited = protector.protect(DATA, expires_in=MINUTE)
    header, expiry, rest = limited[:4], limited[4:12], limited[12:]

    with pytest.raises(ProtectionError):
        protector.unprotect(b"\x01" + header[1:] + rest, context=expiry)
    with pytest.raises(ProtectionError):
        protector.unprotect(header + rest, context=expiry)


def test_a_limited_payload_opens_until_its_end_and_not_at_it() -> None:
    clock = FakeClock()
    protector = ring().protector("p", clock=clock)
    protected = protector.protect(DATA, expires_in=MINUTE)

    clock.advance(MINUTE - timedelta(milliseconds=1))
    assert protector.unprotect(protected) == DATA

    clock.advance(timedelta(milliseconds=1))
    with pytest.raises(ProtectionError, match="has expired"):
        protector.unprotect(protected)


def test_an_unlimited_payload_never_expires() -> None:
    clock = FakeClock()
    protector = ring().protector("p", clock=clock)
    protected = protector.protect(DATA)

    clock.advance(timedelta(days=36500))

    assert protector.unprotect(protected) == DATA


def test_the_longest_and_the_shortest_durations_work() -> None:
    protector = ring().protector("p", clock=FakeClock())

    assert protector.unprotect(protector.protect(DATA, expires_in=timedelta.max)) == DATA
    assert protector.unprotect(protector.protect(DATA, expires_in=timedelta(microseconds=1))) == DATA


@pytest.mark.parametrize("duration", [timedelta(0), timedelta(seconds=-1)])
def test_a_duration_that_is_not_positive_is_a_value_error(duration: timedelta) -> None:
    with pytest.raises(ValueError, match="expires_in must be positive"):
        ring().protector("p").protect(DATA, expires_in=duration)


@pytest.mark.parametrize("duration", [60, 1.5, "1 minute"])
def test_a_duration_of_another_type_is_a_type_error(duration: Any) -> None:
    with pytest.raises(TypeError, match="expires_in must be a timedelta, not"):
        ring().protector("p").protect(DATA, expires_in=duration)


@pytest.mark.parametrize("data", ["text", None, bytearray(b"bytes"), 1])
def test_protect_takes_bytes_alone(data: Any) -> None:
    with pytest.raises(TypeError, match=r"protect\(\) takes bytes, not"):
        ring().protector("p").protect(data)


def test_is_current_tells_which_payloads_are_to_be_written_anew() -> None:
    rotated = KeyRing({1: SECRET, 2: "another secret of 32 characters."}, current=2).protector("p")
    old, new = ring(1).protector("p").protect(DATA), rotated.protect(DATA)

    assert rotated.unprotect(old) == rotated.unprotect(new) == DATA
    assert not rotated.is_current(old)
    assert rotated.is_current(new)
    assert rotated.is_current(rotated.protect(DATA, expires_in=MINUTE))


def test_repr_shows_the_key_s_id_and_no_secret() -> None:
    assert repr(ring("2030-01").protector("p")) == "<Protector under key '2030-01'>"


def test_no_error_repeats_payload_or_secret() -> None:
    protector = ring().protector("p", clock=FakeClock())
    damaged = bytearray(protector.protect(b"topsecret"))
    damaged[-1] ^= 1

    with pytest.raises(ProtectionError) as caught:
        protector.unprotect(bytes(damaged))

    assert caught.value.__cause__ is None
    assert caught.value.__suppress_context__
    assert bytes(damaged).hex() not in str(caught.value)
    assert SECRET not in repr(caught.value)
