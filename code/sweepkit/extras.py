"""What belongs to an extra of this package, and the one line that says so where it is missing.

`pip install sweepkit` brings what the sweeps of one's own programs need; the rest is asked for by name:
`pip install 'sweepkit[train]'`. A test holds this table against pyproject.toml.
"""

import importlib.util
from collections.abc import Mapping

from sweepkit.errors import SweepKitError

# The modules of each extra's packages, and what they are for.
_EXTRAS: Mapping[str, tuple[tuple[str, ...], str]] = {
    "train": (
        ("torch", "transformers", "accelerate", "peft", "rouge_score", "PIL", "pyarrow"),
        "sweepkit's own trainer",
    ),
    "ray": (("ray",), "agents on a Ray cluster"),
    "cluster": (("psycopg",), "a database in PostgreSQL, which agents on several machines share"),
    "web": (("starlette", "uvicorn"), "the live page in a browser"),
    "excel": (("openpyxl",), "tables in Excel workbooks"),
    "kiwi": (("kiwipiepy",), "the tokenizer kiwi"),
    "mecab": (("mecab",), "the tokenizer mecab"),
}
# What only some input needs: its import says that it is missing (`missing`), not the beginning of everything.
_AT_USE = frozenset({"pyarrow"})


def needed(extra: str, what: str = "") -> None:
    """Refuse to go on where a package of an extra is missing.

    Args:
        extra: Its name in `_EXTRAS`.
        what: For what it is needed, in words; "" takes the table's.

    Raises:
        SweepKitError: One is missing; says which, and how to install it.
    """
    for module in _EXTRAS[extra][0]:
        if module not in _AT_USE and not installed(module):
            raise SweepKitError(_line(module, extra, what))


def missing(error: ModuleNotFoundError) -> str:
    """Return what to say of an import that failed: which extra to install, for what; "" when it belongs to none.

    >>> missing(ModuleNotFoundError("No module named 'torch.nn'", name="torch.nn"))[:31]
    'torch: must be installed for sw'
    >>> missing(ModuleNotFoundError("No module named 'mine'", name="mine"))
    ''
    """
    head = (error.name or "").partition(".")[0]
    return next((_line(head, name, "") for name, (modules, _) in _EXTRAS.items() if head in modules), "")


def lacking() -> dict[str, str]:
    """Return the extras of which a package is not installed, with what each is for."""
    return {name: what for name, (modules, what) in _EXTRAS.items() if not all(installed(module) for module in modules)}


def installed(module: str) -> bool:
    """Say whether a module can be imported, without importing it."""
    try:
        return importlib.util.find_spec(module) is not None
    except (ModuleNotFoundError, ValueError):  # the parent of a dotted name; a stand-in without a spec
        return False


def _line(module: str, extra: str, what: str) -> str:
    return (
        f"{module}: must be installed for {what or _EXTRAS[extra][1]}, got no such package; "
        f"pip install 'sweepkit[{extra}]'"
    )
