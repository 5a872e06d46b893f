"""Who may talk to the page: a browser that the user opened, on this machine, that has the token.

A page elsewhere can send a browser to any address that it can reach. Names that are none of ours are refused (DNS
rebinding), so is what another origin sends, and actions need a token that only the printed URL carries.
"""

import hmac
import ipaddress
from collections.abc import Sequence

from starlette.datastructures import MutableHeaders
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

_TOKEN_HEADER = "x-sweepkit-token"
_TOKEN_COOKIE = "sweepkit_token"
_READS = ("GET", "HEAD")
# plotly draws WebGL by functions that it compiles, and puts its own style sheet in; nothing else comes from outside.
_POLICY = (
    "default-src 'none'; script-src 'self' 'unsafe-eval'; style-src 'self' 'unsafe-inline'; "
    "img-src 'self' data: blob:; connect-src 'self'; font-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
_HEADERS = {
    "content-security-policy": _POLICY,
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
}


def is_loopback(host: str) -> bool:
    """Return whether an address can be reached from this machine alone.

    >>> is_loopback("127.0.0.1"), is_loopback("localhost"), is_loopback("::1"), is_loopback("0.0.0.0")
    (True, True, True, False)
    """
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False


class PageGuard:
    """Refuse what does not come from the page itself; an ASGI middleware.

    Args:
        app: What it guards.
        hosts: Names that a browser may call us by, without the port; () takes any (we listen beyond loopback).
        token: What actions need, in the header of that name.
        open_reads: Whether reading needs no token: on loopback.
    """

    def __init__(self, app: ASGIApp, *, hosts: Sequence[str], token: str, open_reads: bool) -> None:
        self._app = app
        self._hosts = frozenset(hosts)
        self._token = token
        self._open_reads = open_reads

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request, or hand it on."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        request = Request(scope)
        refused = self._refused(request)

        async def dressed(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in _HEADERS.items():
                    headers.setdefault(name, value)
                if self._shown_in_url(request):  # the page's own requests carry it from here on
                    headers.append("set-cookie", f"{_TOKEN_COOKIE}={self._token}; HttpOnly; SameSite=Strict; Path=/")
            await send(message)

        await (refused or self._app)(scope, receive, dressed)

    def _refused(self, request: Request) -> Response | None:
        """Return the answer to a request that is refused, None for one that is not."""
        host = request.headers.get("host", "")
        name = host.rsplit(":", 1)[0] if not host.endswith("]") else host
        if self._hosts and name not in self._hosts:
            return _no(f"the page must be called by one of {', '.join(sorted(self._hosts))}, got Host {host!r}")
        origin = request.headers.get("origin")
        if origin is not None and origin != f"{request.url.scheme}://{host}":
            return _no(f"requests must come from the page itself, got one from {origin!r}")
        if request.headers.get("sec-fetch-site", "none") not in ("none", "same-origin"):
            return _no("requests must come from the page itself, got one from another site")
        if request.method in _READS:
            return None if self._open_reads or self._known(request) else _no("the URL must carry ?token=…", 401)
        given = request.headers.get(_TOKEN_HEADER, "")
        if not hmac.compare_digest(given.encode(), self._token.encode()):
            return _no("actions need the token of the URL that was printed: open that one", 401)
        return None

    def _known(self, request: Request) -> bool:
        given = request.headers.get(_TOKEN_HEADER) or request.cookies.get(_TOKEN_COOKIE, "")
        return hmac.compare_digest(given.encode(), self._token.encode()) or self._shown_in_url(request)

    def _shown_in_url(self, request: Request) -> bool:
        given = request.query_params.get("token", "")
        return bool(given) and hmac.compare_digest(given.encode(), self._token.encode())


def _no(why: str, status: int = 403) -> Response:
    return PlainTextResponse(why + "\n", status_code=status)
