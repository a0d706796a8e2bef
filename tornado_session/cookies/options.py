"""CookieOptions: the attributes of a cookie, and the ``Set-Cookie`` line that they make."""

import re
from dataclasses import dataclass, replace
from datetime import timedelta
from functools import cached_property
from math import ceil
from typing import Final, Literal

from tornado_session.errors import ConfigurationError

_TOKEN: Final = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")
_DOMAIN: Final = re.compile(r"\.?[0-9A-Za-z]([0-9A-Za-z.\-]*[0-9A-Za-z])?")
_PATH: Final = re.compile(r"/[!-:<-~]*")
_DELETED: Final = "; Max-Age=0; Expires=Thu, 01 Jan 1970 00:00:00 GMT"


@dataclass(frozen=True, kw_only=True)
class CookieOptions:
    """The attributes of a cookie (RFC 6265 and its revision); impossible combinations raise ``ConfigurationError``."""

    name: str | None = None
    """The cookie's name; ``None``: the default of whoever uses it."""
    path: str = "/"
    """The browser sends the cookie to this path and all below it."""
    domain: str | None = None
    """The browser sends the cookie to this domain and its subdomains; ``None``: to the host that set it alone."""
    http_only: bool = True
    """Scripts in the page do not see the cookie."""
    same_site: Literal["Strict", "Lax", "None"] | None = "Lax"
    """Whether requests that come from other sites carry the cookie; ``None``: the attribute is left out."""
    secure: Literal["same_as_request", "always", "never"] = "same_as_request"
    """Whether the cookie travels over HTTPS alone; ``"same_as_request"``: if it was set over HTTPS, or if browsers
    would refuse it otherwise (``__Host-`` and ``__Secure-`` names, ``same_site="None"``, ``partitioned``). Behind a
    proxy, Tornado knows the visitor's protocol only with ``xheaders=True``."""
    is_essential: bool = False
    """The cookie is set without the visitor's consent."""
    max_age: timedelta | None = None
    """The browser keeps the cookie this long, also when it is closed; ``None``: until it is closed."""
    partitioned: bool = False
    """In a frame, the cookie is kept apart for each site that embeds it (CHIPS)."""

    def __post_init__(self) -> None:
        if self.name is not None:
            _check_text("name", self.name, _TOKEN, "letters, digits and !#$%&'*+-.^_`|~")
        if self.domain is not None:
            _check_text("domain", self.domain, _DOMAIN, "a host name")
        _check_text("path", self.path, _PATH, "a path that starts with / and has neither blanks nor ;")
        _check_choice("same_site", self.same_site, ("Strict", "Lax", "None", None))
        _check_choice("secure", self.secure, ("same_as_request", "always", "never"))
        _check_max_age(self.max_age)
        self._check_combinations()

    def _check_combinations(self) -> None:
        name = (self.name or "").lower()
        if name.startswith("__host-") and (self.domain is not None or self.path != "/"):
            raise ConfigurationError('a __Host- cookie belongs to one host as a whole: leave out domain, keep path="/"')
        if self.secure == "never" and self._needs_https:
            raise ConfigurationError(
                'secure="never" does not go with a __Host- or __Secure- name, same_site="None" or partitioned: '
                'browsers refuse such a cookie; use secure="always"'
            )

    @property
    def _needs_https(self) -> bool:
        prefixed = (self.name or "").lower().startswith(("__host-", "__secure-"))
        return prefixed or self.same_site == "None" or self.partitioned

    def named(self, default: str) -> "CookieOptions":
        """Give the same options with ``default`` for a name that was left out."""
        return self if self.name is not None else replace(self, name=default)

    def set_line(self, value: str, *, https: bool, suffix: str = "") -> str:
        """Write the ``Set-Cookie`` line for ``value``, in an alphabet that needs no quoting.

        ``https``: whether the request came over HTTPS. ``suffix``: appended to the name.
        """
        return f"{self.name}{suffix}={value}{self._lasting}{self._attributes[https]}"

    def delete_line(self, *, https: bool, suffix: str = "") -> str:
        """Write the ``Set-Cookie`` line that deletes the cookie, with the attributes that it was set with."""
        return f"{self.name}{suffix}={_DELETED}{self._attributes[https]}"

    @cached_property
    def _lasting(self) -> str:
        return "" if self.max_age is None else f"; Max-Age={ceil(self.max_age.total_seconds())}"

    @cached_property
    def _attributes(self) -> tuple[str, str]:
        """What follows value and age in a response over HTTP, and over HTTPS."""
        is_secure = self._needs_https or self.secure == "always"
        return self._joined(secure=is_secure), self._joined(secure=is_secure or self.secure == "same_as_request")

    def _joined(self, *, secure: bool) -> str:
        return "".join(
            (
                f"; Domain={self.domain}" if self.domain else "",
                f"; Path={self.path}",
                "; HttpOnly" if self.http_only else "",
                "; Secure" if secure else "",
                f"; SameSite={self.same_site}" if self.same_site else "",
                "; Partitioned" if self.partitioned else "",
            )
        )


def _check_text(field: str, text: object, pattern: re.Pattern[str], allowed: str) -> None:
    if not isinstance(text, str) or not pattern.fullmatch(text):
        raise ConfigurationError(f"a cookie's {field} is {allowed}, but this is {text!r}")


def _check_choice(field: str, value: object, choices: tuple[object, ...]) -> None:
    if value not in choices:
        raise ConfigurationError(f"a cookie's {field} is one of {', '.join(map(repr, choices))}, but this is {value!r}")


def _check_max_age(max_age: object) -> None:
    if max_age is None:
        return
    if not isinstance(max_age, timedelta) or max_age <= timedelta(0):
        raise ConfigurationError(f"a cookie's max_age is a positive timedelta or None, but this is {max_age!r}")
