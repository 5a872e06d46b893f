"""The images of a configuration, decoded and resized once: memory-mapped arrays under the cache folder.

A data set is one folder, named by the hash of all that decides its content. It appears in one step (a rename), so a
reader sees all of it or nothing; builders of the same folder wait for each other on a lock, and the second finds it
made.
"""

import hashlib
import itertools
import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from sweepkit.errors import DataError
from sweepkit.files import locked, replacing_folder
from sweepkit.paths import ROOT_DIR, as_written_or_ours
from sweepkit.training.config.image_sections import ImageDataSection
from sweepkit.training.images import arrays, files
from sweepkit.training.images.arrays import Arrays, Pixels

FORMAT = 1  # raise it when the layout below, or what goes into it, changes
_DIGITS = "digits"
Labels = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True, kw_only=True)
class Images:
    """A data set ready to be trained on.

    Args:
        pixels: Shape (images, img_size, img_size, channels), 1 channel or 3; may be memory-mapped.
        labels: Of each image, the position of its class in `classes`.
        classes: Their names; numbers in the order of numbers, texts in that of texts.
        names: How predictions name each image: its path, else its number in the data.
        test_rows: So many of the images, at the end, are the data's own test part.
    """

    pixels: Pixels
    labels: Labels
    classes: tuple[str, ...]
    names: Sequence[str]
    test_rows: int = 0


def load(section: ImageDataSection, cache_dir: Path) -> Images:
    """Return the images that a configuration names; only its fields that matter for its source are read.

    Args:
        section: Where they are and how they are prepared; `max_samples` is left to the folds.
        cache_dir: Where decoded images are kept.

    Raises:
        DataError: They are missing or malformed, or all of one class.
        OSError: The cache cannot be written.
    """
    if section.source == _DIGITS:
        digits = arrays.read_digits()
        color = "rgb" if section.color == "rgb" else "grayscale"
        return _checked(_from_arrays(digits, np.stack(list(files.resized(digits.pixels, section.img_size, color)))))
    path = _located(section.source)
    if path.suffix.lower() == ".npz" or (path.is_dir() and arrays.is_idx_folder(path)):
        return _checked(_cached_arrays(path, section.img_size, section.color, cache_dir))
    if path.is_dir():
        named = files.list_folder(path)
    elif path.suffix.lower() == ".csv":
        named = files.list_csv(path, section.image_column, section.label_column)
    else:
        raise DataError(f'data.source: must be "{_DIGITS}", a folder, a .csv or an .npz file, got {path.name!r}')
    return _checked(_cached_files(named, section.img_size, section.color, cache_dir))


def _located(source: str) -> Path:
    """Return the file or folder that a source means: as written, or below the root of the checkout."""
    if (path := as_written_or_ours(source, Path.exists)) is not None:
        return path
    raise DataError(
        f'data.source: must be "{_DIGITS}", a folder, a .csv or an .npz file, got {source!r}, '
        f"which does not exist here or below {ROOT_DIR}"
    )


def _checked(images: Images) -> Images:
    """Refuse data without two classes: there would be nothing to learn."""
    if len(images.classes) < 2:
        got = f"only {images.classes[0]!r}" if images.classes else "no images"
        raise DataError(f"data.source: must have images of two or more classes, got {got}")
    return images


def _coded(labels: Sequence[str]) -> tuple[tuple[str, ...], Labels]:
    """Return the classes in order, and each label as its class's position.

    >>> _coded(["10", "9", "10"])[0], _coded(["b", "a10", "a9"])[0]
    (('9', '10'), ('a10', 'a9', 'b'))
    """
    names = set(labels)
    whole = all(name.lstrip("-").isdecimal() for name in names)
    classes = tuple(sorted(names, key=lambda name: (int(name), name) if whole else (0, name)))
    position = {name: at for at, name in enumerate(classes)}
    return classes, np.array([position[label] for label in labels], dtype=np.int64)


def _from_arrays(stored: Arrays, pixels: Pixels) -> Images:
    """Return images that were stored as arrays, with their prepared pixels."""
    classes, labels = _coded([str(label) for label in stored.labels.tolist()])
    names = [str(number) for number in range(len(labels))]
    return Images(pixels=pixels, labels=labels, classes=classes, names=names, test_rows=stored.test_rows)


def _stamp(path: Path) -> list[Any]:
    """Return what says whether a file is still the same, without reading it."""
    status = path.stat()
    return [str(path.resolve()), status.st_size, status.st_mtime_ns]


def _cached_arrays(path: Path, size: int, color: str, cache_dir: Path) -> Images:
    """Return the images of an .npz file or of a folder of IDX files."""
    parts = sorted(path.iterdir()) if path.is_dir() else [path]
    folder = _folder(cache_dir, [[_stamp(part) for part in parts], size, color])

    def build(building: Path) -> None:
        stored = arrays.read_idx_folder(path) if path.is_dir() else arrays.read_npz(path)
        images = _from_arrays(stored, np.empty(0, np.uint8))
        _save(building, images, files.resized(stored.pixels, size, color), f"{path}: must have images, got none")

    return _opened(folder, build)


def _cached_files(named: Sequence[files.Named], size: int, color: str, cache_dir: Path) -> Images:
    """Return the images of files."""
    folder = _folder(cache_dir, [[[*_stamp(one.path), one.name, one.label] for one in named], size, color])

    def build(building: Path) -> None:
        classes, labels = _coded([one.label for one in named])
        names = [one.name for one in named]
        images = Images(pixels=np.empty(0, np.uint8), labels=labels, classes=classes, names=names)
        _save(building, images, files.decode(named, size, color), "data.source: must have images, got none")

    return _opened(folder, build)


def _folder(cache_dir: Path, parts: Sequence[Any]) -> Path:
    """Return the cache folder of a data set that `parts` decides."""
    digest = hashlib.sha256(json.dumps([FORMAT, *parts]).encode()).hexdigest()
    return cache_dir / f"images-{digest[:24]}"


def _save(building: Path, images: Images, rows: Iterable[Pixels], none: str) -> None:
    """Write a data set, one image after the other, so that it need not fit into memory."""
    iterator = iter(rows)
    first = next(iterator, None)
    if first is None:
        raise DataError(none)
    shape = (len(images.labels), *first.shape)
    pixels: Any = np.lib.format.open_memmap(building / "pixels.npy", mode="w+", dtype=np.uint8, shape=shape)
    for at, row in enumerate(itertools.chain([first], iterator)):
        pixels[at] = row
    pixels.flush()
    np.save(building / "labels.npy", images.labels)
    facts = {"classes": images.classes, "names": list(images.names), "test_rows": images.test_rows}
    (building / "images.json").write_text(json.dumps(facts, ensure_ascii=False), encoding="utf-8")


def _opened(folder: Path, build: Any) -> Images:
    """Return the data set in a cache folder, built now if nobody built it before."""
    if not folder.is_dir():
        folder.parent.mkdir(parents=True, exist_ok=True)
        with locked(folder.with_suffix(".lock")):
            if not folder.is_dir():
                with replacing_folder(folder) as building:
                    build(building)
    facts = json.loads((folder / "images.json").read_text(encoding="utf-8"))
    return Images(
        pixels=np.load(folder / "pixels.npy", mmap_mode="r"),
        labels=np.load(folder / "labels.npy"),
        classes=tuple(facts["classes"]),
        names=facts["names"],
        test_rows=facts["test_rows"],
    )
