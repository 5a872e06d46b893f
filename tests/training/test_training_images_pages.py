import importlib.util
import sys

import numpy as np
import pytest
from PIL import Image
from snapshots import words_of

from sweepkit.paths import DATA_DIR
from sweepkit.training.config.image_sections import ImageDataSection
from sweepkit.training.images.data import load

WORDS = words_of(__file__)


@pytest.fixture(scope="module")
def pages():
    spec = importlib.util.spec_from_file_location("make_pages", DATA_DIR / "make_pages.py")
    module = importlib.util.module_from_spec(spec)
    sys.modules["make_pages"] = module
    spec.loader.exec_module(module)
    yield module
    del sys.modules["make_pages"]


def test_the_pages_are_a_folder_for_each_kind_that_the_trainer_reads(pages, tmp_path, capsys):
    assert pages.main([str(tmp_path / "pages"), "--count", "25", "--size", "16"]) == 0
    assert "25 pages of 10 kinds" in capsys.readouterr().out
    images = load(ImageDataSection(source=str(tmp_path / "pages"), img_size=16), tmp_path / "cache")
    assert images.classes == tuple(sorted(kind.__name__ for kind in pages.KINDS))
    assert sorted(np.bincount(images.labels).tolist()) == [2] * 5 + [3] * 5
    with Image.open(tmp_path / "pages" / "memo" / "0.png") as page:
        assert page.size == (16, 16)


def test_equal_seeds_draw_equal_pages_and_all_others_differ(pages):
    drawn = [pages.draw(kind, number, 24, seed) for kind in range(10) for number in (0, 1) for seed in (0, 1)]
    assert len({page.tobytes() for page in drawn}) == len(drawn)
    assert (pages.draw(3, 1, 24, 1) == pages.draw(3, 1, 24, 1)).all()
    assert all(page.dtype == np.uint8 and page.shape == (24, 24) and page.min() < 200 < page.max() for page in drawn)


def test_what_cannot_be_drawn_is_refused(pages, tmp_path, capsys):
    with pytest.raises(SystemExit):
        pages.main([str(tmp_path), "--size", "8"])
    assert WORDS["size-must-be"] in capsys.readouterr().err
