"""An Optuna storage as a source of the analysis scripts: `optuna:URL#STUDY`, or --optuna-storage URL --study STUDY."""

from typing import TYPE_CHECKING

from sweepkit.errors import SweepKitError
from sweepkit.sources.options import SourceOptions

if TYPE_CHECKING:
    from sweepkit.store.mirror_read import FoundStudy

_PREFIX = "optuna:"


def is_study(options: SourceOptions) -> bool:
    """Return whether the options name a study, or half of one."""
    return options.optuna_storage is not None or options.study is not None or is_study_name(options.sweep)


def is_study_name(text: str | None) -> bool:
    """Return whether a name on the command line is one of a study.

    >>> is_study_name("optuna:sqlite:///s.db#mine"), is_study_name("first_sweep"), is_study_name(None)
    (True, False, False)
    """
    return text is not None and text.startswith(_PREFIX)


def _split(text: str) -> tuple[str, str | None]:
    """Return the storage and the study of `optuna:URL#STUDY`; None without a study.

    >>> _split("optuna:sqlite:///s.db#a #1"), _split("optuna:s.db")
    (('sqlite:///s.db', 'a #1'), ('s.db', None))
    """
    url, _, study = text.removeprefix(_PREFIX).partition("#")
    return url, study or None


def read_named(text: str) -> "FoundStudy":
    """Return the study of `optuna:URL#STUDY`. Raises StoreError when there is no such one."""
    from sweepkit.store.mirror_read import read_study

    return read_study(*_split(text))


def study_of(options: SourceOptions) -> "FoundStudy":
    """Return the study that the options name.

    Raises:
        SweepKitError: They name it twice, or only half of it.
        StoreError: There is no such storage or study.
    """
    from sweepkit.store.mirror_read import read_study

    if options.optuna_storage is None:
        if options.study is not None:
            raise SweepKitError("--study: names a study of --optuna-storage, got none; or write optuna:URL#STUDY")
        return read_named(options.sweep or "")
    if options.sweep is not None:
        raise SweepKitError(
            f"--optuna-storage: is in place of a sweep, got {options.sweep!r}, too; name the study with --study"
        )
    url, study = _split(options.optuna_storage)
    return read_study(url, options.study or study)
