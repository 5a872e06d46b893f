"""The live page's server: Starlette's routes, uvicorn's loop; plotly.js, of three axes, from the installed package."""

import contextlib
import gzip
import logging
import secrets
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import cache
from importlib import resources
from urllib.parse import quote

import anyio
import uvicorn
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.middleware.gzip import GZipMiddleware
from starlette.requests import Request
from starlette.responses import FileResponse, HTMLResponse, Response
from starlette.routing import Route

from sweepkit.errors import SweepKitError
from sweepkit.monitor.dashboard import free_port
from sweepkit.reports.figures.page import colours, figures_css, figures_js, plotly_file
from sweepkit.ui.answers import Answers
from sweepkit.ui.guard import PageGuard, is_loopback
from sweepkit.ui.hub import Hub
from sweepkit.ui.options import UiOptions

_STATIC = {
    "app.js": "text/javascript",
    "app.css": "text/css",
    "filter.js": "text/javascript",
    "theme.js": "text/javascript",
}
_STARTS_S = 20.0


def make_app(hub: Hub, *, token: str, host: str = "127.0.0.1") -> Starlette:
    """Return the page of a database as an ASGI application.

    Args:
        hub: Its sweeps.
        token: What actions need.
        host: The address that is listened on; beyond loopback reading needs the token, too.
    """
    answers = Answers(hub)
    local = is_loopback(host)
    hosts = ("127.0.0.1", "localhost", "[::1]", "testserver") if local else ()
    at = "/api/sweeps/{name:path}"
    routes = [
        Route("/", _page),
        Route("/plotly.js", _plotly),
        Route("/figures.js", _figures),
        Route("/static/colours.css", _colours),
        Route("/static/{file}", _static),
        Route("/api/sweeps", answers.sweeps),
        Route("/api/events", answers.events),
        Route(at + "/-/rows", answers.rows),
        Route(at + "/-/figures/{kind}", answers.figure),
        Route(at + "/-/pivot", answers.pivot),
        Route(at + "/-/export", answers.export, methods=["POST"]),
        Route(at + "/-/actions", answers.act, methods=["POST"]),
        Route(at + "/-/runs/{run}/log/{attempt}", answers.log),
        Route(at + "/-/runs/{run}", answers.run),
        Route(at, answers.sweep),
    ]
    middleware = [
        Middleware(PageGuard, hosts=hosts, token=token, open_reads=local),
        Middleware(GZipMiddleware, minimum_size=2000, compresslevel=1),
    ]
    return Starlette(routes=routes, middleware=middleware)


def _text(file: str) -> str:
    return (resources.files(__package__) / "static" / file).read_text(encoding="utf-8")


async def _page(_: Request) -> Response:
    return HTMLResponse(_text("index.html"), headers={"cache-control": "no-cache"})


async def _static(request: Request) -> Response:
    file = request.path_params["file"]
    if file not in _STATIC:
        return Response(status_code=404)
    return Response(_text(file), media_type=_STATIC[file], headers={"cache-control": "no-cache"})


async def _colours(_: Request) -> Response:
    """Return the figures' style, and their colours: the system's light or dark, unless the page was set."""
    light, dark = ("".join(f"{name}:{value};" for name, value in colours(dark=d).items()) for d in (False, True))
    text = (
        f":root{{color-scheme:light;{light}}}\n:root[data-theme=dark]{{color-scheme:dark;{dark}}}\n"
        f"@media (prefers-color-scheme:dark){{:root:not([data-theme=light]){{color-scheme:dark;{dark}}}}}\n"
        f"{figures_css()}"
    )
    return Response(text, media_type="text/css", headers={"cache-control": "no-cache"})


async def _figures(_: Request) -> Response:
    return Response(figures_js(), media_type="text/javascript", headers={"cache-control": "no-cache"})


async def _plotly(request: Request) -> Response:
    headers = {"cache-control": "max-age=86400", "vary": "accept-encoding"}
    if "gzip" not in request.headers.get("accept-encoding", ""):
        return FileResponse(plotly_file(), media_type="text/javascript", headers=headers)
    packed = await anyio.to_thread.run_sync(_packed_plotly)
    return Response(packed, media_type="text/javascript", headers={**headers, "content-encoding": "gzip"})


@cache
def _packed_plotly() -> bytes:
    """Return plotly's JavaScript compressed, once: 5 MB are 1.5."""
    return gzip.compress(plotly_file().read_bytes(), 6, mtime=0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    """A page that is served.

    Args:
        url: What to open, token included.
        problem: What a user should know of it; "" for nothing.
    """

    url: str
    problem: str = ""


def _checked(options: UiOptions) -> UiOptions:
    """Return the options with a port and a token.

    Raises:
        SweepKitError: It would be open to other machines without a token of the user's, or the port is taken.
    """
    if not is_loopback(options.host) and not options.token:
        raise SweepKitError(
            f"--host {options.host}: whoever reaches this address could read and stop sweeps, got no --token; "
            "give --token SECRET, or leave --host out and use an SSH tunnel: ssh -L 8080:127.0.0.1:8080 HOST"
        )
    port = free_port(options.port) if is_loopback(options.host) else options.port or 8080
    return replace(options, port=port, token=options.token or secrets.token_urlsafe(16))


def _url(options: UiOptions) -> str:
    """Return the URL to open: of a local page the token stands where no server and no log sees it."""
    host = f"[{options.host}]" if ":" in options.host else options.host
    name = socket.gethostname() if options.host in ("0.0.0.0", "::") else host
    place = f"#/sweep/{quote(options.sweep, safe='')}" if options.sweep else "#/"
    if is_loopback(options.host):
        return f"http://{name}:{options.port}/{place}?token={options.token}"
    return f"http://{name}:{options.port}/?token={options.token}{place}?token={options.token}"


@contextmanager
def served(options: UiOptions) -> Iterator[Page]:
    """Serve the page in a thread; yield it once it answers.

    Raises:
        SweepKitError: There is no database, the port is taken, or it would be open to others without a token.
    """
    options = _checked(options)
    with Hub(options) as hub:
        app = make_app(hub, token=options.token or "", host=options.host)
        config = uvicorn.Config(
            app, host=options.host, port=options.port or 0, log_level="warning", timeout_graceful_shutdown=3
        )
        server = uvicorn.Server(config)
        # An answer that is not ready when the page is left is cancelled, which uvicorn says as an error of ours.
        quiet = logging.getLogger("uvicorn.error")
        quiet.addFilter(leaves := lambda _: not server.should_exit)
        thread = threading.Thread(target=server.run, name="page", daemon=True)
        thread.start()
        try:
            deadline = time.monotonic() + _STARTS_S
            while not server.started:
                if not thread.is_alive() or time.monotonic() > deadline:
                    raise SweepKitError(
                        f"the page must be served at {options.host}:{options.port}, got no answer; name another --port"
                    )
                time.sleep(0.02)
            threading.Thread(target=_warm, args=(hub, options.sweep), name="first look", daemon=True).start()
            yield Page(url=_url(options))
        finally:
            hub.closing = server.should_exit = True
            thread.join(timeout=30)  # three seconds, but for a machine that is busy
            quiet.removeFilter(leaves)


def _warm(hub: Hub, name: str | None) -> None:
    """Make what somebody will ask for first: the list, and the view of the sweep that was named, or of the newest.

    What cannot be read is reported to whoever asks.
    """
    with contextlib.suppress(SweepKitError):
        lines = hub.sweeps()
        if name or lines:
            hub.sweep(name or lines[0]["name"]).prepare()


def serve(options: UiOptions, notify: Callable[[str], None]) -> int:
    """Serve the page until Ctrl-C; say its URL. Returns the exit code."""
    with served(options) as page:
        notify(page.url)
        if not is_loopback(options.host):
            notify(f"open to every machine that reaches {options.host}: who has the token can stop sweeps")
        try:
            threading.Event().wait()
        except KeyboardInterrupt:
            return 0
    return 0
