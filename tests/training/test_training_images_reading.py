import gzip
import json
import os
import subprocess
import sys
import threading

import numpy as np
import pytest
from depth import examples
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from snapshots import words_of

from sweepkit.errors import DataError
from sweepkit.paths import CODE_DIR
from sweepkit.training.config.image_sections import ImageDataSection
from sweepkit.training.images import data, files
from sweepkit.training.images.arrays import read_digits, read_idx, read_npz
from sweepkit.training.images.data import load

WORDS = words_of(__file__)


def picture(shade=0, size=(6, 6), mode="L"):
    color = shade if mode in ("L", "I;16") else (shade, 0, 255 - shade)[: len(Image.new(mode, (1, 1)).getbands())]
    return Image.new(mode, size, color)


def make_folder(root, classes=("cat", "dog"), count=2, **options):
    for number, name in enumerate(classes):
        (root / name).mkdir(parents=True)
        for index in range(count):
            picture(10 * number + index, **options).save(root / name / f"{index}.png")
    return root


def idx(array):
    head = bytes([0, 0, 8, array.ndim]) + b"".join(side.to_bytes(4, "big") for side in array.shape)
    return head + array.astype(np.uint8).tobytes()


def loaded(tmp_path, source, **fields):
    return load(ImageDataSection(source=str(source), **{"img_size": 6, **fields}), tmp_path / "cache")


def refusal(tmp_path, source, **fields):
    with pytest.raises(DataError) as caught:
        loaded(tmp_path, source, **fields)
    message = str(caught.value)
    assert "\n" not in message
    left = [path for path in (tmp_path / "cache").glob("*") if path.suffix != ".lock"]
    assert left == [], "a refused data set leaves nothing in the cache"
    return message


@pytest.mark.slow
def test_digits_are_scikit_learns(tmp_path):
    from sklearn.datasets import load_digits

    assert (read_digits().pixels == np.rint(load_digits().images * 255 / 16)).all()
    assert (read_digits().labels == load_digits().target).all()
    images = load(ImageDataSection(), tmp_path)
    assert images.pixels.shape == (1797, 8, 8, 1)
    assert images.classes == tuple("0123456789")
    assert (images.pixels.min(), images.pixels.max()) == (0, 255)
    assert (images.pixels[..., 0] == read_digits().pixels).all()
    assert load(ImageDataSection(img_size=16, color="rgb"), tmp_path).pixels.shape == (1797, 16, 16, 3)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
@pytest.mark.heavy
def test_the_preloaded_process_can_be_forked_and_reads_the_digits_without_scikit_learn():
    probe = (
        "import sweepkit.training.images.preload, os, sys\n"
        "from sweepkit.training.images.arrays import read_digits\n"
        "print(len(read_digits().pixels), len(os.listdir('/proc/self/task')), 'sklearn' in sys.modules)"
    )
    env = {**os.environ, "PYTHONPATH": str(CODE_DIR)}
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", probe], capture_output=True, text=True, env=env, timeout=100
    )
    assert done.stdout.split() == ["1797", "1", "False"], done.stderr


def test_a_folder_of_folders_is_read_in_order_with_hidden_and_other_files_passed_over(tmp_path):
    root = make_folder(tmp_path / "in", classes=("나", "가"))
    (root / "가" / "notes.txt").write_text("x")
    (root / "가" / ".hidden.png").write_bytes(b"x")
    (root / ".cache").mkdir()
    (root / "가" / "more").mkdir()
    picture(99).save(root / "가" / "more" / "z.bmp")
    images = loaded(tmp_path, root)
    assert images.classes == ("가", "나")
    assert images.names == ["가/0.png", "가/1.png", "가/more/z.bmp", "나/0.png", "나/1.png"]
    assert images.labels.tolist() == [0, 0, 0, 1, 1]
    assert images.pixels[:, 0, 0, 0].tolist() == [10, 11, 99, 0, 1]


def test_a_csv_names_images_from_its_own_folder_and_labels_may_be_text(tmp_path):
    root = make_folder(tmp_path / "in")
    table = root / "all.csv"
    rows = ["종류,파일", "송장,dog/0.png", "", '"영, 수증",cat/1.png', f"송장,{root / 'dog' / '1.png'}"]
    table.write_text("\n".join(rows), encoding="utf-8-sig")
    images = loaded(tmp_path, table, image_column="파일", label_column="종류")
    assert images.classes == ("송장", "영, 수증")
    assert images.labels.tolist() == [0, 1, 0]
    assert images.pixels[:, 0, 0, 0].tolist() == [10, 1, 11]


def test_whole_numbers_are_classes_in_the_order_of_numbers(tmp_path):
    root = make_folder(tmp_path / "in", classes=("10", "9", "2"))
    assert loaded(tmp_path, root).classes == ("2", "9", "10")


@pytest.mark.parametrize("packed", [False, True])
def test_idx_files_are_read_with_their_test_part(tmp_path, packed):
    pixels = np.arange(5 * 6 * 6, dtype=np.uint8).reshape(5, 6, 6)
    labels = np.array([3, 1, 3, 1, 1], dtype=np.uint8)
    for name, array in (
        ("train-images-idx3-ubyte", pixels[:3]),
        ("train-labels-idx1-ubyte", labels[:3]),
        ("t10k-images-idx3-ubyte", pixels[3:]),
        ("t10k-labels-idx1-ubyte", labels[3:]),
    ):
        content = gzip.compress(idx(array)) if packed else idx(array)
        (tmp_path / (name + ".gz" * packed)).write_bytes(content)
    images = loaded(tmp_path, tmp_path)
    assert (images.pixels[..., 0] == pixels).all()
    assert images.labels.tolist() == [1, 0, 1, 0, 0]
    assert (images.classes, images.test_rows) == (("1", "3"), 2)


@settings(max_examples=examples(50), deadline=None)
@given(st.data())
def test_an_idx_file_of_any_shape_is_read_back(tmp_path_factory, draw):
    shape = draw.draw(st.lists(st.integers(0, 4), min_size=1, max_size=4))
    array = np.array(draw.draw(st.binary(min_size=64, max_size=256)), dtype="S").reshape(-1)
    array = np.resize(np.frombuffer(array.tobytes() or b"\0", np.uint8), shape)
    path = tmp_path_factory.mktemp("idx") / "a"
    path.write_bytes(idx(array))
    assert (read_idx(path) == array).all()
    assert read_idx(path).shape == tuple(shape)
    path.write_bytes(idx(array) + b"x")
    with pytest.raises(DataError, match=WORDS["as-it-begins"]):
        read_idx(path)


def test_npz_files_are_read_by_either_pair_of_names_and_floats_of_0_to_1_are_stretched(tmp_path):
    pixels = np.arange(4 * 36, dtype=np.uint8).reshape(4, 6, 6)
    np.savez(tmp_path / "a.npz", x_train=pixels, y_train=[0, 1, 0, 1], x_test=pixels[:1], y_test=[1])
    images = loaded(tmp_path, tmp_path / "a.npz")
    assert (images.pixels[:4, ..., 0] == pixels).all()
    assert (images.labels.tolist(), images.test_rows) == ([0, 1, 0, 1, 1], 1)
    np.savez_compressed(
        tmp_path / "b.npz", images=pixels[..., None] / 255, labels=np.array([["b"], ["a"], ["b"], ["a"]])
    )
    images = loaded(tmp_path, tmp_path / "b.npz")
    assert (images.pixels[..., 0] == pixels).all()
    assert (images.labels.tolist(), images.classes) == ([1, 0, 1, 0], ("a", "b"))
    np.savez(tmp_path / "c.npz", images=np.stack([pixels] * 3, axis=-1), labels=[0, 1, 0, 1])
    assert loaded(tmp_path, tmp_path / "c.npz", img_size=12).pixels.shape == (4, 12, 12, 3)
    assert (loaded(tmp_path, tmp_path / "c.npz").pixels == pixels[..., None]).all()
    assert loaded(tmp_path, tmp_path / "c.npz", color="grayscale").pixels.shape == (4, 6, 6, 1)
    assert (loaded(tmp_path, tmp_path / "a.npz", color="rgb").pixels[:4] == np.stack([pixels] * 3, axis=-1)).all()


@pytest.mark.parametrize(
    ("mode", "color", "expected"),
    [
        ("L", "auto", [40]),
        ("L", "rgb", [40, 40, 40]),
        ("RGB", "auto", [40, 0, 215]),
        ("RGB", "grayscale", [36]),
        ("RGBA", "auto", [255, 255, 255]),
        ("1", "auto", [255]),
        ("I;16", "auto", [128]),
    ],
)
def test_every_mode_becomes_bytes(tmp_path, mode, color, expected):
    path = tmp_path / "a.png"
    if mode == "RGBA":
        Image.new("RGBA", (5, 9), (1, 2, 3, 0)).save(path)  # wholly transparent: the page shows
    elif mode == "I;16":
        Image.fromarray(np.full((5, 9), 32896, np.uint16)).save(path)
    else:
        Image.new(mode, (5, 9), {"L": 40, "1": 1}.get(mode, (40, 0, 215))).save(path)
    (pixels,) = files.decode([files.Named(path, "a", "x")], 4, color)
    assert pixels.shape == (4, 4, len(expected))
    assert pixels[2, 2].tolist() == expected


def test_a_photograph_stored_lying_is_turned_upright(tmp_path):
    image = Image.new("L", (8, 8))
    image.paste(255, (0, 0, 8, 4))
    exif = image.getexif()
    exif[0x0112] = 6  # turn a quarter to the right to see it
    image.save(tmp_path / "a.png", exif=exif)
    (pixels,) = files.decode([files.Named(tmp_path / "a.png", "a", "x")], 8, "auto")
    assert pixels[:, 7, 0].min() > 200 > 50 > pixels[:, 0, 0].max()


def test_images_are_decoded_once_and_again_when_a_file_or_a_setting_changes(tmp_path, monkeypatch):
    root = make_folder(tmp_path / "in")
    first = loaded(tmp_path, root)
    decodings = []
    real = files.decode
    monkeypatch.setattr(files, "decode", lambda *args: decodings.append(1) or real(*args))
    again = loaded(tmp_path, root)
    assert decodings == []
    assert isinstance(again.pixels, np.memmap)
    assert (again.pixels == first.pixels).all() and again.names == first.names
    loaded(tmp_path, root, img_size=5)
    picture(200, size=(7, 7)).save(root / "cat" / "0.png")
    assert loaded(tmp_path, root).pixels[0, 0, 0, 0] == 200
    (root / "dog").rename(root / "cow")
    assert loaded(tmp_path, root).classes == ("cat", "cow")
    assert len(decodings) == 3


def test_builders_at_once_make_one_cache(tmp_path, monkeypatch):
    root = make_folder(tmp_path / "in")
    decodings, got = [], []
    real = files.decode
    barrier = threading.Barrier(4)
    monkeypatch.setattr(files, "decode", lambda *args: decodings.append(1) or real(*args))

    def go():
        barrier.wait()
        got.append(loaded(tmp_path, root))

    threads = [threading.Thread(target=go) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert decodings == [1]
    assert len(got) == 4 and all((one.pixels == got[0].pixels).all() for one in got)
    assert len([path for path in (tmp_path / "cache").iterdir() if path.is_dir()]) == 1


def test_bad_folders_are_told(tmp_path):
    assert WORDS["which-does-not"] in refusal(tmp_path, tmp_path / "none")
    assert WORDS["which-does-not"] in refusal(tmp_path, "x" * 300)  # no file system has such a name
    (tmp_path / "empty").mkdir()
    assert WORDS["two-or-more"] in refusal(tmp_path, tmp_path / "empty")
    assert "got only 'cat'" in refusal(tmp_path, make_folder(tmp_path / "one", classes=("cat",)))
    root = make_folder(tmp_path / "in")
    (root / "eel").mkdir()
    assert WORDS["eel-must-have"] in refusal(tmp_path, root)
    (tmp_path / "a.txt").write_text("x")
    assert "a folder, a .csv or an .npz file, got 'a.txt'" in refusal(tmp_path, tmp_path / "a.txt")


def test_bad_images_are_told_by_their_path(tmp_path):
    root = make_folder(tmp_path / "in")
    bad = root / "dog" / "1.png"
    whole = bad.read_bytes()
    bad.write_bytes(b"no image")
    assert f"{bad}: must be an image" in refusal(tmp_path, root)
    bad.write_bytes(b"")
    assert f"{bad}: must be an image" in refusal(tmp_path, root)
    picture(3, size=(99, 99), mode="RGB").save(bad)
    assert f"{bad}: images must be all grayscale or all in color, got color here and grayscale in" in refusal(
        tmp_path, root
    )
    assert loaded(tmp_path, root, color="rgb").pixels.shape == (4, 6, 6, 3)
    Image.effect_noise((40, 40), 50).save(bad)
    bad.write_bytes(bad.read_bytes()[:300])
    with pytest.raises(DataError, match=WORDS["png-the-image"]):
        loaded(tmp_path, root)
    bad.write_bytes(whole)
    assert len(loaded(tmp_path, root).labels) == 4


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "must begin with a header of column names, got an empty file"),
        ("image,label\n", "must have at least one row below its header"),
        (
            "image,kind\ncat/0.png,a\n",
            ":1: must have the columns 'image' and 'label', got 'image', 'kind'; name others",
        ),
        ("image;label\ncat/0.png;a\n", "they look separated by ';', write commas"),
        ("image,label\ncat/0.png\n", ":2: must have 2 fields as the header does, got 1"),
        ("image,label\n\ncat/0.png,\n", ":3: label must not be empty"),
        (" image,label\n".strip() + "\n,a\n", ":2: image must not be empty"),
        ("image,label\ncat/0.png,a\ncat/7.png,b\n", ":3: image must name a file, got 'cat/7.png', which is not at"),
        ('image,label\n"cat/0.png,a\n', "must be a CSV file"),
        ("image,label\ncat/0.png,a\ncat/1.png,a\n", "two or more classes, got only 'a'"),
    ],
)
def test_bad_tables_are_told_by_row(tmp_path, text, message):
    root = make_folder(tmp_path / "in")
    (root / "t.csv").write_text(text, encoding="utf-8")
    if "two or more classes" in message:
        with pytest.raises(DataError, match=message):
            loaded(tmp_path, root / "t.csv")
    else:
        assert message in refusal(tmp_path, root / "t.csv")


def test_a_table_in_another_encoding_is_told_with_what_to_do(tmp_path):
    (tmp_path / "t.csv").write_bytes("image,label\na.png,송장\n".encode("cp949"))
    message = refusal(tmp_path, tmp_path / "t.csv")
    assert "t.csv:2: must be UTF-8, got byte 0x" in message and "iconv -f cp949" in message


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"train-labels-idx1-ubyte": None}, "must have the labels of its train part too"),
        ({"train-labels-idx1-ubyte": idx(np.zeros(3))}, "one label for each of 4 images, got the shape (3,)"),
        ({"train-images-idx3-ubyte": b""}, "must be an IDX file of bytes, beginning 00 00 08, got an empty file"),
        ({"train-images-idx3-ubyte": b"\0\0\x0d\1\0\0\0\0"}, "beginning 00 00 08, got 00 00 0d"),
        ({"train-images-idx3-ubyte": idx(np.zeros((4, 6, 6)))[:-1]}, "must hold 4 × 6 × 6 bytes"),
        ({"train-images-idx3-ubyte": idx(np.zeros((4, 6)))}, "images must have the shape"),
        ({"t10k-images-idx3-ubyte.gz": b"\x1f\x8b", "t10k-labels-idx1-ubyte": idx(np.zeros(1))}, "must be a gzip file"),
    ],
)
def test_bad_idx_files_are_told(tmp_path, change, message):
    folder = tmp_path / "in"
    folder.mkdir()
    given = {"train-images-idx3-ubyte": idx(np.zeros((4, 6, 6))), "train-labels-idx1-ubyte": idx(np.arange(4))}
    for name, content in {**given, **change}.items():
        if content is not None:
            (folder / name).write_bytes(content)
    assert message in refusal(tmp_path, folder)


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"x": np.zeros(3)}, "must have the arrays x_train and y_train, or images and labels, got x"),
        ({"images": np.zeros((2, 6, 6)), "labels": [0.0, 1.0]}, "labels must be whole numbers or texts, got float64"),
        ({"images": np.full((2, 6, 6), 300), "labels": [0, 1]}, "images must lie in 0 … 255"),
        ({"images": np.full((2, 6, 6), np.nan), "labels": [0, 1]}, "images must lie in 0 … 255"),
        ({"images": np.array(["a", "b"]), "labels": [0, 1]}, "images must be numbers, got <U1"),
        ({"images": np.zeros((2, 6, 6, 2)), "labels": [0, 1]}, "images must have the shape"),
        ({"images": np.zeros((0, 6, 6)), "labels": np.zeros(0, int)}, "must have images, got none"),
        ({"images": np.array([None, {}]), "labels": [0, 1]}, "must be an .npz file of plain arrays"),
        (
            {"x_train": np.zeros((2, 6, 6)), "y_train": [0, 1], "x_test": np.zeros((1, 7, 6)), "y_test": [0]},
            "x_test must have images of x_train's shape (6, 6), got (7, 6)",
        ),
    ],
)
def test_bad_npz_files_are_told(tmp_path, arrays, message):
    np.savez(tmp_path / "a.npz", **arrays)
    assert message in refusal(tmp_path, tmp_path / "a.npz")


@pytest.mark.parametrize("content", [b"PK\3\4 no", b"", b"text"])
def test_an_npz_file_that_is_none_is_told(tmp_path, content):
    (tmp_path / "a.npz").write_bytes(content)
    with pytest.raises(DataError, match=WORDS["npz-must-be"]):
        read_npz(tmp_path / "a.npz")
    np.save(tmp_path / "b.npy", np.zeros(3))
    with pytest.raises(DataError, match=WORDS["npz-file-of"]):
        read_npz((tmp_path / "b.npy").rename(tmp_path / "b.npz"))


def test_a_cache_folder_can_be_read_by_the_team_and_is_plain(tmp_path):
    loaded(tmp_path, make_folder(tmp_path / "in"))
    (folder,) = [path for path in (tmp_path / "cache").iterdir() if path.is_dir()]
    assert folder.stat().st_mode & 0o777 == 0o755
    assert {path.name for path in folder.iterdir()} == {"pixels.npy", "labels.npy", "images.json"}
    assert json.loads((folder / "images.json").read_text(encoding="utf-8"))["classes"] == ["cat", "dog"]
    assert data.FORMAT == 1
