"""KeyRing: keys with ids; the current one writes, all of them read."""

import hmac
from collections.abc import Callable, Mapping
from time import time
from typing import Any, Final

from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from tornado_session.errors import ConfigurationError
from tornado_session.protection.protector import Protector, framed

KeyId = int | str
Secret = str | bytes

SHORTEST_SECRET: Final = 16
LONGEST_KEY_ID: Final = 64
_SALT: Final = b"tornado_session key ring 1"


class KeyRing:
    """Secrets by id, from which every purpose gets keys of its own.

    ``keys`` maps ids (``int`` or ``str``) to secrets (``str`` or ``bytes``, at least 16 characters; 32 random bytes are
    what you want). ``current`` names the one that writes; all of them read. To rotate, add a new secret, make it
    current, and drop the old one when what was made with it has expired.

    Keys are derived with HKDF-SHA256 (RFC 5869): what one purpose writes no other can read. Neither ``repr`` nor any
    error shows a secret. Raises ``ConfigurationError``.
    """

    def __init__(self, keys: Mapping[KeyId, Secret], *, current: KeyId) -> None:
        if not isinstance(keys, Mapping):
            raise ConfigurationError(
                f"keys is a dict of id to secret, such as {{1: secret}}, not {type(keys).__name__}"
            )
        if not keys:
            raise ConfigurationError("keys is empty; give at least one secret, such as secrets.token_urlsafe(32)")
        self._secrets = {_checked_id(key_id): _checked_secret(key_id, secret) for key_id, secret in keys.items()}
        self._current = _checked_id(current)
        if current not in self._secrets:
            raise ConfigurationError(
                f"current is {current!r}, which is not among the key ids {sorted(map(repr, keys))}"
            )
        self._fingerprint_keys: dict[str, dict[KeyId, bytes]] = {}

    @classmethod
    def from_cookie_secret(
        cls, cookie_secret: Secret | Mapping[int, Secret], key_version: int | None = None
    ) -> "KeyRing":
        """Make a ring from Tornado's ``cookie_secret`` and ``key_version`` settings.

        A single secret has the id 0, as in Tornado, so it can later become ``{0: old, 1: new}``.
        """
        secrets: dict[Any, Secret]
        if isinstance(cookie_secret, str | bytes):
            if key_version is not None:
                raise ConfigurationError("key_version goes with a dict of secrets, but cookie_secret is a single one")
            secrets, key_version = {0: cookie_secret}, 0
        elif isinstance(cookie_secret, Mapping):
            secrets = dict(cookie_secret)
        else:
            raise ConfigurationError(
                f"cookie_secret must be a string or a dict of version to string, not {type(cookie_secret).__name__}"
            )
        if key_version is None:
            raise ConfigurationError("cookie_secret is a dict of versions; say with key_version which one is current")
        if secrets and key_version not in secrets:
            raise ConfigurationError(
                f"key_version is {key_version!r}, which is not among the versions of cookie_secret"
            )
        try:
            return cls(secrets, current=key_version)
        except ConfigurationError as error:
            raise ConfigurationError(f"cookie_secret does not work: {error}") from None

    def __repr__(self) -> str:
        return f"KeyRing(ids={list(self._secrets)!r}, current={self._current!r})"

    @property
    def current(self) -> KeyId:
        """The id of the key that writes."""
        return self._current

    def protector(self, *purposes: str, clock: Callable[[], float] = time) -> Protector:
        """Make a protector for one purpose; several strings name a purpose within a purpose.

        ``clock`` (seconds since the epoch) judges time-limited payloads.
        """
        if not purposes or not all(isinstance(purpose, str) and purpose for purpose in purposes):
            raise ConfigurationError(
                f"a protector needs one or more purposes, texts that are not empty, not {purposes!r}"
            )
        return Protector(self._keys_for("protect", *purposes), self._current, clock=clock)

    def fingerprints(self, purpose: str, data: str) -> list[str]:
        """HMAC-SHA256 of ``data`` under every key of the ring, the current key's first, in hexadecimal.

        For finding data without storing it: what an old key wrote stays findable as long as the key is on the ring.
        """
        if purpose not in self._fingerprint_keys:
            self._fingerprint_keys[purpose] = self._keys_for("fingerprint", purpose)
        keys = self._fingerprint_keys[purpose]
        ids = [self._current, *(key_id for key_id in keys if key_id != self._current)]
        return [hmac.digest(keys[key_id], data.encode(), "sha256").hex() for key_id in ids]

    def _keys_for(self, *purposes: str) -> dict[KeyId, bytes]:
        info = framed(*purposes)
        return {key_id: _derive(secret, info) for key_id, secret in self._secrets.items()}


def _derive(secret: bytes, info: bytes) -> bytes:
    return HKDF(algorithm=SHA256(), length=32, salt=_SALT, info=info).derive(secret)


def _checked_id(key_id: KeyId) -> KeyId:
    if isinstance(key_id, bool) or not isinstance(key_id, int | str):
        raise ConfigurationError(f"key ids are int or str, but one is {type(key_id).__name__}")
    size = len(str(key_id).encode())
    if not 0 < size <= LONGEST_KEY_ID:
        raise ConfigurationError(f"a key id has 1 to {LONGEST_KEY_ID} bytes, but one has {size}")
    return key_id


def _checked_secret(key_id: KeyId, secret: Secret) -> bytes:
    if not isinstance(secret, str | bytes):
        # Without the id, which is the secret where the two were swapped.
        raise ConfigurationError(
            f"keys is a dict of id to secret, and a secret is str or bytes, but one is {type(secret).__name__}"
        )
    if len(secret) < SHORTEST_SECRET:
        raise ConfigurationError(
            f"the secret of key {key_id!r} has {len(secret)} characters, but needs at least {SHORTEST_SECRET}; "
            'make one with: python -c "import secrets; print(secrets.token_urlsafe(32))"'
        )
    return secret.encode() if isinstance(secret, str) else secret
