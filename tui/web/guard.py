"""Whom the server answers: the one browser that opened the printed link, on its own page.

A server on loopback can be reached by every page that the user's browser shows and by every
account of the machine. What keeps them out is here, what is served to the others is not:

- the Host must name this server: a foreign name that resolves to 127.0.0.1 is DNS rebinding;
- an Origin must be this server's own; a websocket must have one (browsers always send it, and no
  same-origin rule holds for websockets), and so must every method that changes something;
- the link's token is good for one request, which gets the session's secret as a cookie that no
  script can read and no other site's request carries. Everything else needs that cookie.
"""

from __future__ import annotations

import hmac
import secrets
from collections.abc import Awaitable, Callable

from aiohttp import hdrs, web

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]

SAFE_METHODS = ("GET", "HEAD")
WEBSOCKET_PATH = "/ws"

# After the link: the page goes on from here to "/" by itself. An answer that redirects would not
# do, since a browser that came from another site's page sends no strict cookie along a redirect.
_WELCOME = """\
<!doctype html><meta charset="utf-8"><meta http-equiv="refresh" content="0;url=/">
<link rel="icon" href="data:,"><title>wl</title><a href="/">go on</a>
"""


class Guard:
    """Answers 403 to everything that the person at the printed link did not ask for.

    Args:
        port: where the server listens, on 127.0.0.1.
    """

    def __init__(self, port: int) -> None:
        self.hosts = (f"127.0.0.1:{port}", f"localhost:{port}")
        # Cookies are shared by all ports of a host: two servers must not overwrite each other's.
        self.cookie = f"wl_session_{port}"
        token = secrets.token_urlsafe(32)
        self.link = f"http://{self.hosts[0]}/?token={token}"
        self._token: str | None = token
        self._secret = secrets.token_urlsafe(32)

    @web.middleware
    async def check(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        """Middleware for the whole application, routes that do not exist included."""
        problem = self._wrong_address(request)
        if problem:
            raise web.HTTPForbidden(text=problem)
        if _same(request.cookies.get(self.cookie), self._secret):
            return await handler(request)
        if self._opens_the_link(request):
            return self._welcome()
        raise web.HTTPForbidden(
            text="open the link that `wl tui --web` printed. It is good for one browser, once:"
            " if another one has used it, end the server with Ctrl-C and start it again"
        )

    def _wrong_address(self, request: web.Request) -> str:
        """What is wrong with where the request comes from; empty when nothing is."""
        host = _only(request, hdrs.HOST)
        if host not in self.hosts:
            return f"wrong Host: this server answers to {' and '.join(self.hosts)} only"
        origin = _only(request, hdrs.ORIGIN)
        must_say = request.method not in SAFE_METHODS or request.path == WEBSOCKET_PATH
        if origin != f"http://{host}" and (must_say or hdrs.ORIGIN in request.headers):
            return "wrong Origin: only this server's own page may ask for that"
        return ""

    def _opens_the_link(self, request: web.Request) -> bool:
        """Whether the request carries the token, which is used up by that."""
        is_link = request.method == "GET" and request.path == "/"
        if not is_link or not _same(request.query.get("token"), self._token):
            return False
        self._token = None
        return True

    def _welcome(self) -> web.Response:
        response = web.Response(text=_WELCOME, content_type="text/html")
        response.set_cookie(self.cookie, self._secret, httponly=True, samesite="Strict", path="/")
        return response

    async def add_headers(self, request: web.Request, response: web.StreamResponse) -> None:
        """For every response: what a browser must not do with it."""
        host = _only(request, hdrs.HOST)
        # "self" alone does not mean the websocket in every browser.
        sockets = f"'self' ws://{host}" if host in self.hosts else "'none'"
        response.headers.update(_HEADERS)
        response.headers["Content-Security-Policy"] = f"{_POLICY}; connect-src {sockets}"
        # It would tell which versions to attack.
        response.headers.popall(hdrs.SERVER, None)


# The terminal in the page (xterm.js) makes style elements for its own cells, hence 'unsafe-inline'
# for styles. Scripts are files of this server, never inline.
_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; font-src 'self';"
    " img-src 'self' data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
_HEADERS = {
    "Cache-Control": "no-store",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    # Copying goes to the browser's clipboard; what is in it is none of the application's business.
    "Permissions-Policy": "clipboard-read=(), camera=(), microphone=(), geolocation=()",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
}


def _only(request: web.Request, header: str) -> str | None:
    """The header's value; None when it is missing or there are several."""
    values = request.headers.getall(header, [])
    return values[0] if len(values) == 1 else None


def _same(given: str | None, expected: str | None) -> bool:
    """Whether they are equal, in a time that does not tell how far they are."""
    if given is None or expected is None:
        return False
    return hmac.compare_digest(given.encode("utf-8", "surrogatepass"), expected.encode())
