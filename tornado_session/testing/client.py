"""CookieClient: an HTTP client that keeps cookies as a browser does."""

from dataclasses import dataclass
from typing import Any
from urllib.parse import urljoin, urlsplit

from tornado.httpclient import AsyncHTTPClient, HTTPRequest, HTTPResponse

_MOST_REDIRECTS = 10


@dataclass(frozen=True, slots=True)
class StoredCookie:
    """One cookie in the jar."""

    name: str
    value: str
    path: str
    line: str
    """The ``Set-Cookie`` line that it came with."""


class CookieClient:
    """One visitor's browser, for tests: ``await client.fetch("/path")``.

    Sends back the cookies that it got, to the paths that they are for; deletes them when the server says so with the
    name and the path they were set with (as browsers do); follows redirects with the cookies of each answer. An answer
    of 400 or above is no exception. ``base_url`` such as ``http://127.0.0.1:8888``.
    """

    def __init__(self, base_url: str, http_client: AsyncHTTPClient | None = None) -> None:
        self._base_url = base_url
        self._http_client = http_client or AsyncHTTPClient()
        self._jar: dict[tuple[str, str], StoredCookie] = {}

    @property
    def cookies(self) -> dict[str, str]:
        """The values of all cookies in the jar, by name."""
        return {cookie.name: cookie.value for cookie in self._jar.values()}

    @property
    def stored_cookies(self) -> list[StoredCookie]:
        """All cookies in the jar, with the lines that set them."""
        return list(self._jar.values())

    def set_cookie(self, name: str, value: str, path: str = "/") -> None:
        """Put a cookie into the jar, as an attacker or an older version of the site might have."""
        self._jar[name, path] = StoredCookie(name, value, path, f"{name}={value}; Path={path}")

    def delete_cookie(self, name: str) -> None:
        """Take all cookies of a name out of the jar."""
        self._jar = {place: cookie for place, cookie in self._jar.items() if cookie.name != name}

    def cookie_header(self, path: str = "/") -> dict[str, str]:
        """Give the request header for a path, such as for ``websocket_connect``; empty without cookies."""
        sent = [cookie for cookie in self._jar.values() if _matches(path, cookie.path)]
        # Browsers send the longest path first.
        sent.sort(key=lambda cookie: -len(cookie.path))
        return {"Cookie": "; ".join(f"{cookie.name}={cookie.value}" for cookie in sent)} if sent else {}

    async def fetch(self, path: str, *, follow_redirects: bool = True, **request: Any) -> HTTPResponse:
        """Send a request and keep the cookies of the answer. ``request``: arguments of ``HTTPRequest``.

        A redirect is followed with GET, as browsers do after a POST.
        """
        response = await self._fetch_once(path, request)
        for _ in range(_MOST_REDIRECTS):
            if not follow_redirects or response.code not in (301, 302, 303):
                break
            following = urlsplit(urljoin(response.effective_url, response.headers["Location"]))
            path = following.path + (f"?{following.query}" if following.query else "")
            response = await self._fetch_once(path, {"headers": request.get("headers", {})})
        return response

    async def _fetch_once(self, path: str, request: dict[str, Any]) -> HTTPResponse:
        headers = {**self.cookie_header(urlsplit(path).path), **request.get("headers", {})}
        response = await self._http_client.fetch(
            HTTPRequest(self._base_url + path, **{**request, "headers": headers, "follow_redirects": False}),
            raise_error=False,
        )
        if response.code == 599:
            raise response.error or ConnectionError(f"no answer to {path}")
        for line in response.headers.get_list("Set-Cookie"):
            self._keep(line)
        return response

    def _keep(self, line: str) -> None:
        pair, *attributes = [part.strip() for part in line.split(";")]
        name, _, value = pair.partition("=")
        named = {key.lower(): text for key, _, text in (attribute.partition("=") for attribute in attributes)}
        path = named.get("path", "/")
        if named.get("max-age") == "0" or "1970" in named.get("expires", ""):
            self._jar.pop((name, path), None)
        else:
            self._jar[name, path] = StoredCookie(name, value.strip('"'), path, line)


def _matches(path: str, cookie_path: str) -> bool:
    return path == cookie_path or path.startswith(cookie_path.rstrip("/") + "/")
