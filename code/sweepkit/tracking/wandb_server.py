"""The W&B client as the readers of this room use it: connect, page, scan, and say in words what went wrong.

The client is asked through `wandb.Api` alone. Three of its habits are undone here: it asks at a terminal for a missing
key (a reader must end with a message), it makes an empty folder for every run that it reads, and it answers a second
question from memory.
"""

import contextlib
import importlib.util
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from urllib.parse import unquote, urlsplit

from sweepkit.errors import TrackingError
from sweepkit.tracking.wandb_rows import RawRun, Searched, Told, seconds, told_by

TIMEOUT_S = 30  # of one request; the client retries by itself within it
_RUNS_A_REQUEST = 100
_READERS = 4  # histories are read by so many requests at once: W&B counts the requests of a key
_PATH = re.compile(r"([^/\s](?:[^/]*[^/\s])?)/([^/\s](?:[^/]*[^/\s])?)/(?:sweeps/)?([^/\s]+)")
_FORM = "must be ENTITY/PROJECT/ID or the URL of the sweep's page"


def sweep_path(text: str) -> str:
    """Return entity/project/id of a sweep from that, from entity/project/sweeps/id or from the URL of its page.

    >>> sweep_path("https://wandb.ai/team/summaries/sweeps/ab12cd34?nw=1")
    'team/summaries/ab12cd34'

    Raises:
        TrackingError: It has another form.
    """
    path = text
    if "://" in text:
        parts = urlsplit(text)
        pieces = [unquote(piece) for piece in parts.path.split("/") if piece]
        # What stands before the entity is the application's own folder on that server.
        path = "/".join(pieces[-4:]) if len(pieces) >= 4 and pieces[-2] == "sweeps" else ""
    match = _PATH.fullmatch(path.strip("/ "))
    if match is None:
        raise TrackingError(
            f"wandb {text}: {_FORM}, got {text!r}; the address of that page holds all three parts: "
            "…/ENTITY/PROJECT/sweeps/ID"
        )
    return "/".join(match.groups())


def connect(text: str) -> "Server":
    """Return the W&B server that WANDB_BASE_URL (default: W&B's own) and the user's key lead to, for one sweep.

    Args:
        text: As `sweep_path` takes it. A URL must be one of that server: the key goes nowhere else.

    Raises:
        TrackingError: The path has another form, wandb is not installed, there is no key, or the server refuses it or
            cannot be reached.
    """
    path = sweep_path(text)
    spec = importlib.util.find_spec("wandb")
    if spec is None or spec.origin is None:  # a folder named wandb/ is no package
        raise TrackingError(f"wandb {path}: needs the package wandb, got none; install it: pip install wandb")
    os.environ.setdefault("WANDB_SILENT", "true")
    import wandb
    from wandb.sdk import wandb_setup

    with telling(path):
        settings = wandb_setup.singleton().settings
        _check_host(text, settings.app_url)
        _check_key(path, settings.base_url)
        return Server(path, wandb.Api(timeout=TIMEOUT_S))


def _check_host(text: str, app_url: str) -> None:
    """Refuse the URL of another server than the one that the client would ask."""
    if "://" not in text:
        return
    asked, ours = (urlsplit(url).netloc.lower().removeprefix("www.") for url in (text, app_url))
    if asked != ours:
        raise TrackingError(
            f"wandb {text}: must be a page of the server that your key is for ({app_url}), got {asked}; "
            "set WANDB_BASE_URL to that server and its key, or give ENTITY/PROJECT/ID"
        )


def _check_key(path: str, base_url: str) -> None:
    """Refuse to begin without a key: the client would ask for one at a terminal and write it to disk."""
    from wandb.sdk.lib import wbauth

    found = wbauth.authenticate_session(
        host=base_url, source="sweepkit", no_offline=True, prompt=False, update_session=False
    )
    if found is None:
        raise TrackingError(
            f"wandb {path}: needs a key of {base_url}, got none; set WANDB_API_KEY or run `wandb login` once"
        )


class Server:
    """One sweep on a server. Made by `connect`.

    Args:
        path: entity/project/id.
        api: A `wandb.Api`.
    """

    def __init__(self, path: str, api: Any) -> None:
        self.path = path
        self._api = api
        self._sweep: Any = None

    def sweep(self) -> Any:
        """Return the sweep as the server has it now: `Api.sweep` answers from memory after the first time."""
        if self._sweep is None:
            self._sweep = self._api.sweep(self.path)
        else:
            self._sweep.load(force=True)
        return self._sweep

    def runs(self) -> list[Any]:
        """Return its runs in the order in which they were made, each once.

        They come in pages; one that began meanwhile moves none of those before it.
        """
        self._api.flush()  # it remembers runs
        entity, project, sweep_id = self.path.split("/")
        pages = self._api.runs(
            f"{entity}/{project}",
            filters={"$and": [{"sweep": sweep_id}]},
            order="+created_at",
            per_page=_RUNS_A_REQUEST,
            lazy=False,
        )
        # W&B's own agent asks for these two of a run; its listing does not.
        pages.QUERY = pages.QUERY.replace("historyLineCount", "historyLineCount\n    stopped\n    exitcode", 1)
        found: dict[str, Any] = {}
        for run in pages:
            found.setdefault(run.id, run)
            _leave_no_folder(run)
        return sorted(found.values(), key=lambda run: seconds(run.created_at) or 0.0)

    def histories(self, runs: Sequence[Any], searched: Searched, before: Mapping[str, Told]) -> dict[str, Told]:
        """Return what each run told, by its id: the rows after those that `before` knows of are read."""

        def read(run: Any) -> Told:
            known = before.get(run.id, Told())
            if not run._attrs.get("historyLineCount", 1):
                return known
            # No cache on disk: a run that was resumed has other rows than those that were kept.
            rows = run.scan_history(min_step=known.last_step + 1, use_cache=False)
            return told_by(rows, searched, known)

        with ThreadPoolExecutor(max_workers=_READERS, thread_name_prefix="wandb-history") as pool:
            return dict(zip([run.id for run in runs], pool.map(read, runs), strict=True))


def _leave_no_folder(run: Any) -> None:
    """Remove the empty folders that the client made for a run: entity, project and run, if nothing is in them."""
    folder = str(run.dir)
    with contextlib.suppress(OSError):
        for _ in range(3):
            os.rmdir(folder)
            folder = os.path.dirname(folder)


def raw_run(run: Any) -> RawRun:
    """Return a run of the client as a value."""
    attributes: Mapping[str, Any] = run._attrs
    code = attributes.get("exitcode")
    return RawRun(
        name=run.id,
        state=str(run.state),
        config=dict(run.config),
        summary=dict(run.summary_metrics),
        created_at=attributes.get("createdAt"),
        heartbeat_at=attributes.get("heartbeatAt"),
        stopped=bool(attributes.get("stopped")),
        exit_code=code if isinstance(code, int) else None,
    )


@contextlib.contextmanager
def telling(path: str) -> Iterator[None]:
    """Turn what the client raises into a TrackingError that says what to do; keys are left out of it."""
    try:
        yield
    except TrackingError:
        raise
    except Exception as error:  # the client raises its own, requests' and ValueError, and changes which
        raise TrackingError(f"wandb {path}: {_words(error)}") from error


def _words(error: Exception) -> str:
    status = _status(error)
    got = _without_key(" ".join(str(error).split()) or type(error).__name__)
    lowered = got.lower()
    if status in (401, 403) or "api key" in lowered or "unauthorized" in lowered or "permission" in lowered:
        return (
            f"the server must accept your key, got: {got}; set WANDB_API_KEY to a valid one or run "
            "`wandb login --relogin`, and check WANDB_BASE_URL"
        )
    if status == 429:
        return f"the server must have requests left for your key, got: {got}; try again in some minutes"
    if status == 404 or "could not find" in lowered or "not found" in lowered:
        return (
            f"the sweep must be on the server and open to your key, got: {got}; "
            "check the path, WANDB_BASE_URL and whose key it is"
        )
    return f"the server must answer, got: {got}; check the network and WANDB_BASE_URL, and try again"


def _status(error: BaseException | None) -> int | None:
    """Return the HTTP status behind an error of the client, None when there is none."""
    while error is not None:
        response = getattr(error, "response", None)
        status = getattr(response, "http_status", None) or getattr(response, "status_code", None)
        if status:
            return int(status)
        error = error.__cause__ or error.__context__
    return None


def _without_key(text: str) -> str:
    """Return a message without what could be a key of W&B: 40 or more letters, digits, "-" and "_" in a row."""
    return re.sub(r"[A-Za-z0-9_-]{40,}", "(a key)", text)
