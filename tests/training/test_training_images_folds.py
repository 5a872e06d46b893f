import math
import warnings

import numpy as np
import pytest
from depth import examples
from hypothesis import given, settings
from hypothesis import strategies as st
from snapshots import words_of

from sweepkit.errors import DataError
from sweepkit.training.images.data import Images
from sweepkit.training.images.folds import sample, split
from sweepkit.training.images.scores import scores, spread

WORDS = words_of(__file__)

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # torch's own, at import
    import torch

    from sweepkit.training.images.batches import Batches, Scaling, Softening, measured, mix, soft_labels

NAMES = tuple("abcdefgh")


@st.composite
def labelled(draw, least=8):
    counts = draw(st.lists(st.integers(least, 20), min_size=2, max_size=6))
    labels = np.repeat(np.arange(len(counts)), counts)
    return np.random.default_rng(draw(st.integers(0, 99))).permutation(labels), NAMES[: len(counts)]


@settings(max_examples=examples(80), deadline=None)
@given(labelled(), st.integers(2, 8), st.integers(0, 2**32 - 1))
def test_folds_partition_the_rows_and_spread_each_class_evenly(data, count, seed):
    labels, classes = data
    folds = split(labels, classes, count, 0.2, seed)
    assert len(folds) == count
    assert sorted(np.concatenate([fold.val for fold in folds])) == list(range(len(labels)))
    for fold in folds:
        assert sorted([*fold.train, *fold.val]) == list(range(len(labels)))
        assert (np.sort(fold.train) == fold.train).all() and (np.sort(fold.val) == fold.val).all()
    for one in range(len(classes)):
        sizes = [(labels[fold.val] == one).sum() for fold in folds]
        assert max(sizes) - min(sizes) <= 1
    assert max(len(fold.val) for fold in folds) - min(len(fold.val) for fold in folds) <= 1
    again = split(labels, classes, count, 0.2, seed)
    assert all((one.val == other.val).all() for one, other in zip(folds, again, strict=True))


@settings(max_examples=examples(80), deadline=None)
@given(labelled(least=2), st.floats(0.01, 0.99), st.integers(0, 2**32 - 1))
def test_one_fold_holds_out_a_part_of_each_class_but_not_all(data, ratio, seed):
    labels, classes = data
    (fold,) = split(labels, classes, 1, ratio, seed)
    assert sorted([*fold.train, *fold.val]) == list(range(len(labels)))
    for one in range(len(classes)):
        rows = (labels == one).sum()
        held = (labels[fold.val] == one).sum()
        assert 1 <= held <= rows - 1
        assert abs(held - rows * ratio) <= 1
    assert (split(labels, classes, 1, ratio, seed)[0].val == fold.val).all()


def test_seeds_give_other_folds():
    labels = np.repeat([0, 1], 20)
    for count in (1, 5):
        one, other = (split(labels, NAMES[:2], count, 0.2, seed)[0].val.tolist() for seed in (1, 2))
        assert one != other


@pytest.mark.parametrize(
    ("counts", "folds", "message"),
    [
        (
            [5, 1, 4],
            5,
            "each class must have 5 images or more, one for each of 5 folds, got 'b' (1), 'c' (4); add images",
        ),
        ([5, 1], 1, "each class must have 2 images or more, one to train on, one to score, got 'b' (1); add"),
        ([5, 1], 2, "got 'b' (1); add images or remove the class"),
    ],
)
def test_a_class_with_too_few_images_is_told_with_how_many(counts, folds, message):
    labels = np.repeat(np.arange(len(counts)), counts)
    with pytest.raises(DataError) as caught:
        split(labels, NAMES[: len(counts)], folds, 0.2, 0)
    assert message in str(caught.value)
    assert ("lower validation.folds" in str(caught.value)) == (folds > 2)


@settings(max_examples=examples(80), deadline=None)
@given(labelled(least=1), st.data(), st.integers(0, 99))
def test_a_sample_has_its_size_and_each_class_in_proportion(data, draw, seed):
    labels, classes = data
    size = draw.draw(st.integers(len(classes), len(labels) + 3))
    rows = sample(labels, classes, size, seed)
    assert len(rows) == len(set(rows.tolist())) == min(size, len(labels))
    assert (np.sort(rows) == rows).all()
    counts, taken = np.bincount(labels), np.bincount(labels[rows], minlength=len(classes))
    assert (taken >= 1).all() and (taken <= counts).all()
    if size < len(labels):
        share = 1 + (counts - 1) * (size - len(classes)) / (len(labels) - len(classes))
        assert (abs(taken - share) <= 1).all()


def test_a_sample_smaller_than_the_classes_is_refused():
    with pytest.raises(DataError, match=WORDS["samples-must-be"]):
        sample(np.array([0, 1, 2]), NAMES[:3], 2, 0)


@settings(max_examples=examples(100), deadline=None)
@given(st.lists(st.tuples(st.integers(0, 5), st.integers(0, 5)), min_size=1, max_size=40))
def test_scores_are_scikit_learns(pairs):
    from sklearn.metrics import accuracy_score, f1_score

    labels, predicted = (np.array(side) for side in zip(*pairs, strict=True))
    got = scores(labels, predicted)
    assert got["macro_f1"] == pytest.approx(f1_score(labels, predicted, average="macro", zero_division=0))
    assert got["accuracy"] == pytest.approx(accuracy_score(labels, predicted))


def test_the_spread_is_of_a_sample():
    assert spread([0.5]) == 0.0
    assert spread([1.0, 3.0]) == pytest.approx(math.sqrt(2))
    assert math.isnan(spread([math.nan]))


def test_soft_labels_are_probabilities():
    got = soft_labels(torch.tensor([2, 0]), 4, 0.2)
    assert got.tolist() == [pytest.approx([0.05, 0.05, 0.85, 0.05]), pytest.approx([0.85, 0.05, 0.05, 0.05])]


def test_mixing_is_a_weighted_mean_with_the_partner():
    values = torch.tensor([[1.0, 0.0], [0.0, 2.0]])
    assert mix(values, 0.75, torch.tensor([1, 0])).tolist() == [[0.75, 0.5], [0.25, 1.5]]


def numbered(rows=12, channels=1):
    """Images whose every pixel tells their number, so that a mixed one tells its weight."""
    pixels = np.broadcast_to(np.arange(rows, dtype=np.uint8)[:, None, None, None], (rows, 4, 4, channels))
    labels = np.arange(rows) % 3
    return Images(pixels=pixels, labels=labels, classes=NAMES[:3], names=[str(row) for row in range(rows)])


PLAIN = Scaling((0.0,), (1 / 255,))


def test_batches_hold_the_rows_asked_for_scaled_and_channels_first():
    batches = Batches(numbered(channels=3), np.array([4, 6, 8]), Scaling((0.0, 0.0, 1 / 255), (1 / 255,) * 3))
    assert len(batches) == 3
    got = batches.__getitems__([2, 0])
    assert got["pixel_values"].shape == (2, 3, 4, 4)
    assert got["pixel_values"][:, :, 0, 0].tolist() == [pytest.approx([8, 8, 7]), pytest.approx([4, 4, 3])]
    assert got["labels"].tolist() == [2, 1]
    assert batches[1]["pixel_values"].shape == (1, 3, 4, 4)


def test_mixup_mixes_pixels_and_labels_by_the_same_weight_and_by_seed():
    rows = np.arange(12)

    def batch(alpha, seed=1):
        softening = Softening(smoothing=0.0, mixup_alpha=alpha, seed=seed)
        return Batches(numbered(), rows, PLAIN, softening).__getitems__(rows.tolist())

    none = batch(0.0)
    assert none["pixel_values"][:, 0, 0, 0].tolist() == pytest.approx(rows.tolist())
    assert none["labels"].argmax(1).tolist() == (rows % 3).tolist()
    mixed = batch(0.5)
    assert mixed["labels"].sum(1).tolist() == pytest.approx([1.0] * 12)
    random = np.random.default_rng(1)
    weight, order = random.beta(0.5, 0.5), random.permutation(12)
    assert mixed["pixel_values"][:, 0, 0, 0].tolist() == pytest.approx(
        (weight * rows + (1 - weight) * order).tolist(), abs=1e-5
    )
    hot = np.eye(3)
    assert np.allclose(mixed["labels"].numpy(), weight * hot[rows % 3] + (1 - weight) * hot[order % 3], atol=1e-6)
    assert (batch(0.5)["pixel_values"] == mixed["pixel_values"]).all()
    assert (batch(0.5, seed=2)["pixel_values"] != mixed["pixel_values"]).any()


def test_the_scaling_is_measured_on_the_given_rows_alone():
    random = np.random.default_rng(0)
    pixels = random.integers(0, 256, (3000, 3, 3, 2), dtype=np.uint8)
    pixels[..., 1] = 7
    images = Images(pixels=pixels, labels=np.zeros(3000, np.int64), classes=("a",), names=[])
    rows = np.arange(0, 3000, 2)
    got = measured(images, rows)
    values = pixels[rows] / 255
    assert got.mean == pytest.approx(values.mean(axis=(0, 1, 2)))
    assert got.std[0] == pytest.approx(values[..., 0].std())
    assert got.std[1] == 1.0, "a channel that never varies is left at its size"
    assert measured(images, rows + 1) != got
