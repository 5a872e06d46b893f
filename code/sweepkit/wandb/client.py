"""The W&B client as the readers of this room use it: connect, page, scan, and put into words what went wrong.

The client is asked through `wandb.Api` alone. Three of its habits are undone here: it asks at a terminal for a missing
key (a reader must end with a message), it makes an empty folder for every run that it reads, and it answers a second
question from memory.
"""

import contextlib
import os
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from urllib.parse import unquote, urlsplit

from sweepkit.errors import TrackingError
from sweepkit.wandb.access import describe_error, environment_kept, has_key, http_status, no_key_text, require_wandb
from sweepkit.wandb.rows import LoggedHistory, RawRun, SearchTarget, extend_history, seconds

_TIMEOUT_S = 60  # of one question, the client's own retries included
# Otherwise the client would go on for minutes on its own, and a timeout would hide what the server answered.
_PATIENCE = {
    "x_graphql_retry_max": 4,
    "x_graphql_retry_wait_min_seconds": 1.0,
    "x_graphql_retry_wait_max_seconds": 8.0,
    "x_graphql_timeout_seconds": 20.0,
}
_RUNS_A_REQUEST = 100
_AT_A_TIME = 32
_READERS = 4  # histories are read by so many requests at once: W&B counts the requests of a key
_PATH = re.compile(r"([^/\s](?:[^/]*[^/\s])?)/([^/\s](?:[^/]*[^/\s])?)/(?:sweeps/)?([^/\s]+)")
_VERIFYING = re.compile(r"(Failed to verify|An error occurred while verifying) credentials with \S+: ")
_OF_KEYS = ("api key", "unauthorized", "permission", "not logged in")
_LONGEST = 300  # characters of the client's words
_FORM = "must be ENTITY/PROJECT/ID or the URL of the sweep's page"


def sweep_path(text: str, *, entity: str | None = None, project: str | None = None) -> str:
    """Return entity/project/id of a sweep from that, from entity/project/sweeps/id or from the URL of its page.

    >>> sweep_path("https://wandb.ai/team/summaries/sweeps/ab12cd34?nw=1")
    'team/summaries/ab12cd34'
    >>> sweep_path("ab12cd34", entity="team", project="qa")
    'team/qa/ab12cd34'

    Args:
        text: What was given.
        entity: Taken for one that is left out; None means it must be there.
        project: Likewise.

    Raises:
        TrackingError: It has another form, or leaves out what is not known.
    """
    known = [entity or "", project or ""][: max(0, 2 - text.strip().count("/"))]
    path = "/".join([*known, text.strip()])
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


def connect(text: str) -> "SweepClient":
    """Return the W&B server that WANDB_BASE_URL (default: W&B's own) and the user's key lead to, for one sweep.

    Args:
        text: As `sweep_path` takes it. A URL must be one of that server: the key goes nowhere else.

    Raises:
        TrackingError: The path has another form, wandb is not installed, there is no key, or the server refuses it or
            cannot be reached.
    """
    path = sweep_path(text)
    client = require_wandb(f"wandb {path}")
    from wandb.sdk import wandb_setup

    with client_errors(path):
        settings = wandb_setup.singleton().settings
        _check_host(text, settings.app_url)
        if not has_key(settings.base_url, keep=False):
            raise TrackingError(f"wandb {path}: {no_key_text(settings.base_url)}")
        entity, project, _ = path.split("/")
        # Programs that are started later must not inherit this client's service process: theirs is another one.
        with _patient(settings), environment_kept("WANDB_SERVICE"):
            # With these the client does not ask the server for the user's own ones, which a service account lacks.
            return SweepClient(path, client.Api({"entity": entity, "project": project}, timeout=_TIMEOUT_S))


@contextlib.contextmanager
def _patient(settings: Any) -> Iterator[None]:
    """Have the client that is made within retry as `_PATIENCE` says, where the user's environment says nothing."""
    mine = {name: value for name, value in _PATIENCE.items() if getattr(settings, name) is None}
    for name, value in mine.items():
        setattr(settings, name, value)
    try:
        yield
    finally:
        for name in mine:
            setattr(settings, name, None)


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


class SweepClient:
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
        pages.QUERY = _query_with_ends(pages.QUERY)
        found: dict[str, Any] = {}
        for run in pages:
            found.setdefault(run.id, run)
            _leave_no_folder(run)
        return sorted(found.values(), key=lambda run: seconds(run.created_at) or 0.0)

    def histories(
        self,
        runs: Sequence[Any],
        searched: SearchTarget,
        before: Mapping[str, LoggedHistory],
        *,
        until: Callable[[], bool] = lambda: False,
    ) -> dict[str, LoggedHistory]:
        """Return what each run logged, by its id: the rows after those that `before` knows of are read.

        Args:
            runs: Which runs, in the order in which they are read.
            searched: Which metric is meant.
            before: What they had logged already.
            until: Asked from time to time; once it is true, the runs that are left are left out.
        """

        def read(run: Any) -> LoggedHistory:
            known = before.get(run.id, LoggedHistory())
            if not rows_of(run):
                return known
            # No cache on disk: a run that was resumed has other rows than those that were kept.
            rows = run.scan_history(min_step=known.last_step + 1, use_cache=False)
            return extend_history(rows, searched, known)

        found: dict[str, LoggedHistory] = {}
        with ThreadPoolExecutor(max_workers=_READERS, thread_name_prefix="wandb-history") as pool:
            for start in range(0, len(runs), _AT_A_TIME):
                if start and until():
                    break
                some = runs[start : start + _AT_A_TIME]
                found |= zip([run.id for run in some], pool.map(read, some), strict=True)
        return found


def _query_with_ends(query: str) -> str:
    """Return the client's query of runs that asks how each ended, too.

    The client asks for these two in `wandb.apis.public.sweeps`, of the runs of a sweep; its listing does not.
    """
    return query.replace("historyLineCount", "historyLineCount\n    stopped\n    exitcode", 1)


def rows_of(run: Any) -> int:
    """Return how many rows a run logged; -1 when W&B has no count."""
    count = run._attrs.get("historyLineCount")
    return count if isinstance(count, int) else -1


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
def client_errors(path: str) -> Iterator[None]:
    """Turn what the client raises into a TrackingError that says what to do; keys are left out of it."""
    try:
        yield
    except TrackingError:
        raise
    except Exception as error:  # the client raises its own, requests' and ValueError, and changes which
        raise TrackingError(f"wandb {path}: {_words(error)}") from error


def _words(error: Exception) -> str:
    got = _VERIFYING.sub("", describe_error(error))
    status, lowered = http_status(error, got), got.lower()
    if len(got) > _LONGEST:
        got = f"{got[:_LONGEST]} …"
    if status == 429:
        return f"the server must have requests left for your key, got: {got}; try again in some minutes"
    if status in (401, 403) or any(word in lowered for word in _OF_KEYS):
        return (
            f"the server must accept your key, got: {got}; set WANDB_API_KEY to a valid one or run "
            "`wandb login --relogin`, and check WANDB_BASE_URL"
        )
    if status == 404 or "could not find" in lowered or "not found" in lowered:
        return (
            f"the sweep must be on the server and open to your key, got: {got}; "
            "check the path, WANDB_BASE_URL and whose key it is"
        )
    return f"the server must answer, got: {got}; check the network and WANDB_BASE_URL, and try again"
