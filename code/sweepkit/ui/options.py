"""What the live page is asked to be."""

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True, kw_only=True)
class UiOptions:
    """Where the page is and what it shows.

    Args:
        output_dir: The folder of the sweeps' files.
        storage: The database; None for the usual one.
        sweep: The sweep that the printed URL opens; None for the list.
        host: Address to listen on.
        port: 0 for any free one; None for the usual one, or any free one where that is taken.
        token: What a browser must show; None makes one up.
    """

    output_dir: Path
    storage: str | None = None
    sweep: str | None = None
    host: str = "127.0.0.1"
    port: int | None = None
    token: str | None = None
