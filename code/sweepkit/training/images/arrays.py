"""Images that come as arrays: scikit-learn's digits, MNIST's IDX files, .npz files. Knows nothing of resizing."""

import gzip
import importlib.util
import re
import zipfile
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from sweepkit.errors import DataError

Pixels = npt.NDArray[np.uint8]
_IDX_UINT8 = 0x08
_IDX_NAME = re.compile(r"(?P<part>train|t10k|test)-(?P<kind>images|labels)[-.]idx\d-ubyte(?:\.gz)?")
_NPZ_NAMES = (("x_train", "y_train"), ("images", "labels"))


@dataclass(frozen=True, slots=True, kw_only=True)
class Arrays:
    """Images of one size as they were stored.

    Args:
        pixels: Shape (images, height, width) or (images, height, width, 3), 0 is black.
        labels: One whole number or text an image.
        test_rows: So many of them, at the end, are the data's own test part.
    """

    pixels: Pixels
    labels: npt.NDArray[Any]
    test_rows: int = 0


def read_digits() -> Arrays:
    """Return scikit-learn's digits: 1,797 scanned ones of 8×8 pixels, in ten classes.

    Only its data file is read. Importing scikit-learn takes 2 s, and may import pandas and with it pyarrow, which
    starts a native thread: a sweep's runs could not be forked from a process that has done so.

    Source: E. Alpaydin and C. Kaynak, Optical Recognition of Handwritten Digits, UCI 1998.

    Raises:
        DataError: scikit-learn is not installed.
    """
    found = importlib.util.find_spec("sklearn")
    if found is None or not found.submodule_search_locations:
        raise DataError('data.source: "digits" come with scikit-learn, got none; pip install scikit-learn')
    file = Path(found.submodule_search_locations[0], "datasets", "data", "digits.csv.gz")
    if file.is_file():
        table = np.loadtxt(file, delimiter=",", dtype=np.int64)
        values, labels = table[:, :-1].reshape(-1, 8, 8), table[:, -1]
    else:  # another version may keep them elsewhere
        from sklearn.datasets import load_digits  # type: ignore[import-untyped]

        digits: Any = load_digits()
        values, labels = digits.images, digits.target
    return Arrays(pixels=np.rint(values * (255 / 16)).astype(np.uint8), labels=labels)


def is_idx_folder(folder: Path) -> bool:
    """Return whether a folder holds MNIST's training images."""
    return any(found["part"] == "train" and found["kind"] == "images" for found in _idx_files(folder).values())


def _idx_files(folder: Path) -> dict[Path, re.Match[str]]:
    """Return the files of a folder that are named as MNIST's are, with the parts of their names."""
    named = ((path, _IDX_NAME.fullmatch(path.name)) for path in sorted(folder.iterdir()) if path.is_file())
    return {path: found for path, found in named if found is not None}


def read_idx_folder(folder: Path) -> Arrays:
    """Return what MNIST's files hold: train-images…, train-labels… and, where they are, t10k-images… and t10k-labels….

    Raises:
        DataError: A file is missing, cut off, or no IDX file of bytes, or images and labels differ in number.
    """
    files = {
        ("train" if found["part"] == "train" else "test", found["kind"]): p for p, found in _idx_files(folder).items()
    }
    parts = []
    for part in ("train", "test"):
        images, labels = files.get((part, "images")), files.get((part, "labels"))
        if images is None and labels is None:
            continue
        if images is None or labels is None:
            missing = "images" if images is None else "labels"
            raise DataError(
                f"{folder}: must have the {missing} of its {part} part too, got {(images or labels or folder).name}"
            )
        parts.append(_matched(read_idx(images), read_idx(labels), images))
    return Arrays(
        pixels=np.concatenate([pixels for pixels, _ in parts]),
        labels=np.concatenate([labels for _, labels in parts]),
        test_rows=len(parts[1][1]) if len(parts) > 1 else 0,
    )


def read_idx(path: Path) -> Pixels:
    """Return the array of an IDX file of bytes: two zero bytes, the type, the number of sides, their lengths, the data.

    Raises:
        DataError: It cannot be read, is of another type, or is longer or shorter than it says.
    """
    content = path.read_bytes()
    if path.suffix == ".gz":
        try:
            content = gzip.decompress(content)
        except (OSError, EOFError, zlib.error) as error:
            raise DataError(f"{path}: must be a gzip file, {error}; fetch it again") from None
    if len(content) < 4 or content[:2] != b"\0\0" or content[2] != _IDX_UINT8:
        raise DataError(
            f"{path}: must be an IDX file of bytes, beginning 00 00 08, got {content[:3].hex(' ') or 'an empty file'}"
        )
    sides = [int.from_bytes(content[at : at + 4], "big") for at in range(4, 4 + 4 * content[3], 4)]
    data = content[4 + 4 * content[3] :]
    if len(data) != int(np.prod(sides, dtype=np.int64)):
        shape = " × ".join(map(str, sides))
        raise DataError(f"{path}: must hold {shape} bytes as it begins by saying, got {len(data)}; fetch it again")
    return np.frombuffer(data, np.uint8).reshape(sides)


def read_npz(path: Path) -> Arrays:
    """Return what an .npz file holds as x_train and y_train (with x_test and y_test), or as images and labels.

    Whole numbers are taken as 0 … 255, floats as 0 … 1 or, when one is above 1, as 0 … 255.

    Raises:
        DataError: It cannot be read, its arrays have other names, shapes or ranges.
    """
    try:
        with path.open("rb") as opened:  # numpy would leave a damaged file open
            file = np.load(opened, allow_pickle=False)
            if not isinstance(file, np.lib.npyio.NpzFile):
                raise ValueError("got a single array")
            arrays: dict[str, npt.NDArray[Any]] = {name: file[name] for name in file.files}
    except (OSError, ValueError, EOFError, zipfile.BadZipFile, zlib.error) as error:
        raise DataError(f"{path}: must be an .npz file of plain arrays, {error}") from None
    pair = next((names for names in _NPZ_NAMES if all(name in arrays for name in names)), None)
    if pair is None:
        got = ", ".join(arrays) or "no arrays"
        raise DataError(f"{path}: must have the arrays x_train and y_train, or images and labels, got {got}")
    pixels, labels = _npz_part(path, arrays, *pair)
    if pair[0] == "images" or "x_test" not in arrays or "y_test" not in arrays:
        return Arrays(pixels=pixels, labels=labels)
    more, more_labels = _npz_part(path, arrays, "x_test", "y_test")
    if more.shape[1:] != pixels.shape[1:]:
        raise DataError(f"{path}: x_test must have images of x_train's shape {pixels.shape[1:]}, got {more.shape[1:]}")
    return Arrays(
        pixels=np.concatenate([pixels, more]), labels=np.concatenate([labels, more_labels]), test_rows=len(more)
    )


def _npz_part(
    path: Path, arrays: Mapping[str, npt.NDArray[Any]], images: str, labels: str
) -> tuple[Pixels, npt.NDArray[Any]]:
    """Return one part of an .npz file, its images as bytes."""
    given = arrays[images]
    flat_labels = arrays[labels]
    if flat_labels.ndim == 2 and flat_labels.shape[1] == 1:  # as CIFAR-10 has them
        flat_labels = flat_labels[:, 0]
    if flat_labels.dtype.kind not in "iuU":
        raise DataError(f"{path}: {labels} must be whole numbers or texts, got {flat_labels.dtype}")
    if given.dtype.kind not in "iufb":
        raise DataError(f"{path}: {images} must be numbers, got {given.dtype}")
    if given.ndim == 4 and given.shape[3] == 1:
        given = given[..., 0]
    values = given.astype(np.float64) if given.dtype.kind == "f" else given.astype(np.int64)
    if given.dtype.kind == "f" and np.isfinite(values).all() and (values <= 1).all():
        values = values * 255
    if values.size and not ((values >= 0) & (values <= 255)).all():
        raise DataError(
            f"{path}: {images} must lie in 0 … 255, or 0 … 1 as floats, got {values.min()} … {values.max()}"
        )
    return _matched(np.rint(values).astype(np.uint8), flat_labels, path)


def _matched(pixels: Pixels, labels: npt.NDArray[Any], path: Path) -> tuple[Pixels, npt.NDArray[Any]]:
    """Refuse images of a wrong shape, and labels that are not one an image."""
    if not (pixels.ndim == 3 or (pixels.ndim == 4 and pixels.shape[3] == 3)) or 0 in pixels.shape[1:]:
        rule = "images must have the shape (images, height, width) or (images, height, width, 3)"
        raise DataError(f"{path}: {rule}, got {pixels.shape}")
    if labels.shape != pixels.shape[:1]:
        raise DataError(f"{path}: must have one label for each of {len(pixels)} images, got the shape {labels.shape}")
    return pixels, labels
