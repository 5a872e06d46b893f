"""Images that come as files: a folder for each class, or a CSV file of paths and labels."""

import csv
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from sweepkit.errors import DataError
from sweepkit.training.images.arrays import Pixels
from sweepkit.training.readers import check_text, records

_SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp", ".gif", ".tif", ".tiff", ".webp", ".pgm", ".ppm")
_GRAY_MODES = ("1", "L", "LA", "La", "I", "I;16", "I;16B", "I;16L", "F")


@dataclass(frozen=True, slots=True)
class Named:
    """One image: where it is, how messages and predictions name it, and its label."""

    path: Path
    name: str
    label: str


def list_folder(folder: Path) -> list[Named]:
    """Return the images below the folders of a folder, sorted by name; each of these folders is a class.

    Hidden files and files of other kinds are passed over.

    Raises:
        DataError: There are fewer than two classes, or one without an image.
    """
    classes = [path for path in sorted(folder.iterdir()) if path.is_dir() and not path.name.startswith(".")]
    if len(classes) < 2:
        got = f"only {classes[0].name!r}" if classes else "none"
        rule = "must have two or more folders of images, one for each class (or MNIST's IDX files)"
        raise DataError(f"data.source: {folder} {rule}, got {got}")
    images = []
    for one in classes:
        files = [path for path in sorted(one.rglob("*")) if path.suffix.lower() in _SUFFIXES and path.is_file()]
        files = [path for path in files if not path.name.startswith(".")]
        if not files:
            raise DataError(
                f"{one}: must have images ({', '.join(_SUFFIXES)}), got none; add some or remove the folder"
            )
        images += [Named(path, path.relative_to(folder).as_posix(), one.name) for path in files]
    return images


def list_csv(path: Path, image_column: str, label_column: str) -> list[Named]:
    """Return the images that a CSV file names, in order.

    Args:
        path: UTF-8 (a byte order mark is allowed), with a header. Relative paths in it start from its own folder.
        image_column: Name of the column of paths.
        label_column: Name of the column of labels.

    Raises:
        DataError: Not UTF-8, not CSV, empty, a column is missing, a row is short, a value is empty, a file is
            not there.
    """
    rows = _rows(path)
    _, header = next(rows, (1, None))
    image_at, label_at = _columns(path, header, (image_column, label_column))
    images = []
    for line, row in rows:
        if len(row) <= max(image_at, label_at):
            raise DataError(f"{path}:{line}: must have {len(header or [])} fields as the header does, got {len(row)}")
        name, label = row[image_at].strip(), row[label_at].strip()
        for column, value in ((image_column, name), (label_column, label)):
            if not value:
                raise DataError(f"{path}:{line}: {column} must not be empty; fill it or remove the row")
        file = path.parent / Path(name).expanduser()
        if not file.is_file():
            raise DataError(f"{path}:{line}: {image_column} must name a file, got {name!r}, which is not at {file}")
        images.append(Named(file, name, label))
    if not images:
        raise DataError(f"{path}: must have at least one row below its header, got none")
    return images


def _rows(path: Path) -> Iterator[tuple[int, list[str]]]:
    """Yield each record of a CSV file but empty lines with the 1-based line it begins on."""
    check_text(path)
    with path.open(encoding="utf-8-sig", newline="") as file:
        yield from records(path, csv.reader(file, strict=True))


def _columns(path: Path, header: list[str] | None, wanted: tuple[str, str]) -> tuple[int, int]:
    """Return the positions of the two columns, or say which is missing and what there is."""
    if not header:
        raise DataError(f"{path}: must begin with a header of column names, got an empty file")
    if any(name not in header for name in wanted):
        separators = [mark for mark in (";", "\t", "|") if len(header) == 1 and mark in header[0]]
        hint = "name others with data.image_column and data.label_column"
        if separators:
            hint = f"they look separated by {separators[0]!r}, write commas"
        rule = f"must have the columns {' and '.join(map(repr, wanted))}"
        raise DataError(f"{path}:1: {rule}, got {', '.join(map(repr, header))}; {hint}")
    return header.index(wanted[0]), header.index(wanted[1])


def decode(images: Sequence[Named], size: int, color: str) -> Iterator[Pixels]:
    """Yield the images one by one, as bytes of the shape (size, size, channels), 1 channel or 3.

    Args:
        images: In the order wanted.
        size: Pixels along both sides; what has another shape is stretched.
        color: "grayscale" or "rgb" converts; "auto" keeps what they are, which must be the same.

    Raises:
        DataError: An image cannot be decoded, or some are gray and some in color under "auto".
    """
    first: tuple[bool, Path] | None = None
    words = {True: "grayscale", False: "color"}
    for image in images:
        pixels, gray = _decode_one(image.path, size, color)
        first = first or (gray, image.path)
        if color == "auto" and gray != first[0]:
            raise DataError(
                f"{image.path}: images must be all grayscale or all in color, got {words[gray]} here and "
                f"{words[first[0]]} in {first[1]}; set data.color: rgb (or grayscale), which converts them"
            )
        yield pixels


def _decode_one(path: Path, size: int, color: str) -> tuple[Pixels, bool]:
    """Return one image of the shape (size, size, channels), and whether it was gray in its file."""
    from PIL import Image, ImageOps, UnidentifiedImageError

    try:
        with Image.open(path) as opened:
            gray = opened.mode in _GRAY_MODES
            upright = ImageOps.exif_transpose(opened)  # photographs of documents are often stored lying
            mode = "L" if color == "grayscale" or (color == "auto" and gray) else "RGB"
            image = _flat(upright, mode).resize((size, size), Image.Resampling.BILINEAR)
    except UnidentifiedImageError:
        raise DataError(
            f"{path}: must be an image, got something else or a damaged file; replace or remove it"
        ) from None
    # Decoders of damaged files raise what they like.
    except (OSError, ValueError, SyntaxError, EOFError, IndexError, Image.DecompressionBombError) as error:
        raise DataError(f"{path}: the image cannot be decoded: {error}; replace or remove it") from None
    return np.asarray(image, dtype=np.uint8).reshape(size, size, -1), gray


def _flat(image: Any, mode: str) -> Any:
    """Return a pillow image in mode L or RGB: what is transparent on white, 16 bits as 8."""
    from PIL import Image

    if image.mode.startswith("I") or image.mode == "F":
        values = np.asarray(image, dtype=np.float64)
        image = Image.fromarray((values / (257 if values.max() > 255 else 1)).clip(0, 255).astype(np.uint8))
    if image.has_transparency_data:
        page = Image.new("RGBA", image.size, "white")
        image = Image.alpha_composite(page, image.convert("RGBA"))
    return image.convert(mode)


def resized(pixels: Pixels, size: int, color: str) -> Iterator[Pixels]:
    """Yield an array's images as `decode` yields files'.

    Args:
        pixels: Shape (images, height, width) or (images, height, width, 3).
        size: Pixels along both sides.
        color: As in `decode`.
    """
    from PIL import Image

    stored = "L" if pixels.ndim == 3 else "RGB"
    mode = {"grayscale": "L", "rgb": "RGB"}.get(color, stored)
    if mode == stored and pixels.shape[1:3] == (size, size):  # as they are: nothing for pillow to do
        yield from (one.reshape(size, size, -1) for one in pixels)
        return
    for one in pixels:
        image = Image.fromarray(one).convert(mode)
        if image.size != (size, size):
            image = image.resize((size, size), Image.Resampling.BILINEAR)
        yield np.asarray(image, dtype=np.uint8).reshape(size, size, -1)
