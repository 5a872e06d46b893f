"""Make the learning curves that benchmarks/stopping.py replays: benchmarks/data/stopping_curves.npz.

    python benchmarks/stopping_curves.py        some minutes of one core

Real trainings, on data that scikit-learn, Python's own documentation and this repository hold: 100 random
configurations of each task, 50 epochs (of boosting: 50 groups of trees), scored on held-out examples after each. What
is chosen by looking at curves is chosen on the tasks of CHOOSING alone; CONFIRMING was named before any rule was tried.

A configuration is a point of a unit cube; `_SPACE` and the tasks say what its coordinates are. The file holds, for each
task, `TASK/points` [100, 8] and `TASK/curves` [100, 50], smaller is better; NaN is a training that blew up.
"""

import csv
import inspect
import sys
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np

HERE = Path(__file__).resolve().parent
FILE = HERE / "data" / "stopping_curves.npz"
CONFIGURATIONS, EPOCHS, DIMENSIONS = 100, 50, 8
_PROCESSES = 3
Array = np.ndarray[Any, np.dtype[np.float64]]
# Examples for training and for scoring, and their targets: classes or [examples, outputs] numbers.
Data = tuple[Array, Array, Array, Array]

# --- networks: all configurations of one batch size at once, each with its own weights ------------------------------
# Coordinates: learning rate, optimizer, batch size, width, weight decay, dropout, schedule, noise of the gradient.
_BATCHES = (32, 100, 300)
_WIDTH = 48


def networks(data: Data, points: Array, *, classes: int, error: bool = False) -> Array:
    """Train a network with one hidden layer for each point; return the held-out loss after each epoch.

    Args:
        data: Inputs and targets.
        points: Configurations.
        classes: Number of classes; 0 for a regression.
        error: Score the share of wrong classes in place of the loss.
    """
    curves = np.full((len(points), EPOCHS), np.nan)
    place = np.minimum((points[:, 2] * len(_BATCHES)).astype(int), len(_BATCHES) - 1)
    for index, batch in enumerate(_BATCHES):
        chosen = place == index
        curves[chosen] = _trained(data, points[chosen], batch, classes, error=error)
    return curves


def _trained(data: Data, points: Array, batch: int, classes: int, *, error: bool) -> Array:
    import torch

    torch.manual_seed(batch)
    torch.set_num_threads(1)
    x, y, held, target = (torch.tensor(part, dtype=torch.float32) for part in data)
    count, outputs = len(points), classes or y.shape[1]
    knobs = torch.tensor(points, dtype=torch.float32)
    adam = knobs[:, 1] < 0.5
    rate = torch.where(adam, 10 ** (-4 + 3 * knobs[:, 0]), 10 ** (-3 + 3 * knobs[:, 0]))
    width = (3 * 16 ** knobs[:, 3]).round()
    mask = (torch.arange(_WIDTH)[None] < width[:, None]).float()
    decay, dropout, cosine = 10 ** (-6 + 4 * knobs[:, 4]), 0.5 * knobs[:, 5], knobs[:, 6] < 0.5
    noise = 0.3 * knobs[:, 7] ** 2
    weights = [
        torch.randn(count, x.shape[1], _WIDTH) / x.shape[1] ** 0.5,
        torch.zeros(count, 1, _WIDTH),
        torch.randn(count, _WIDTH, outputs) / width[:, None, None] ** 0.5,
        torch.zeros(count, 1, outputs),
    ]
    for weight in weights:
        weight.requires_grad_(True)
    first = [torch.zeros_like(weight) for weight in weights]
    second = [torch.zeros_like(weight) for weight in weights]
    steps, at = max(1, len(x) // batch), 0
    curves = np.full((count, EPOCHS), np.nan)

    def out(inputs: Any, *, trains: bool) -> Any:
        hidden = torch.relu(inputs @ weights[0] + weights[1]) * mask[:, None]
        if trains:
            kept = (torch.rand_like(hidden) >= dropout[:, None, None]).float()
            hidden = hidden * kept / (1 - dropout[:, None, None])
        return hidden @ weights[2] + weights[3]

    def loss(given: Any, wanted: Any, *, wrong: bool) -> Any:
        if not classes:
            return ((given - wanted) ** 2).mean((1, 2))
        if wrong:
            return (given.argmax(2) != wanted.long()).float().mean(1)
        flat = torch.nn.functional.cross_entropy(given.transpose(1, 2), wanted.long(), reduction="none")
        return flat.mean(1)

    for epoch in range(EPOCHS):
        order = torch.randperm(len(x))
        for step in range(steps):
            rows = order[step * batch : (step + 1) * batch]
            wanted = y[rows].expand(count, *y[rows].shape)
            value = loss(out(x[rows].expand(count, -1, -1), trains=True), wanted, wrong=False)
            gradients = torch.autograd.grad(value.nan_to_num(0, 0, 0).sum(), weights)
            at += 1
            share = at / (EPOCHS * steps)
            now = torch.where(cosine, rate * 0.5 * (1 + np.cos(np.pi * share)), rate)[:, None, None]
            with torch.no_grad():
                for weight, gradient, m, v in zip(weights, gradients, first, second, strict=True):
                    noisy = gradient + noise[:, None, None] * gradient.abs() * torch.randn_like(gradient)
                    m.mul_(0.9).add_(noisy, alpha=0.1)
                    v.mul_(0.999).add_(noisy**2, alpha=0.001)
                    adaptive = (m / (1 - 0.9**at)) / ((v / (1 - 0.999**at)).sqrt() + 1e-8)
                    move = torch.where(adam[:, None, None], adaptive, m)
                    weight.sub_(now * (move + decay[:, None, None] * weight))
        with torch.no_grad():
            scored = loss(
                out(held.expand(count, -1, -1), trains=False), target.expand(count, *target.shape), wrong=error
            )
            curves[:, epoch] = scored.double().numpy()
    curves[np.abs(curves) > 1e6] = np.nan
    return curves


# --- scikit-learn's own: boosting and linear models -------------------------------------------------------------------
def boosting(data: Data, points: Array, *, classes: int) -> Array:
    """Return the held-out loss of gradient boosting after every two trees."""
    from sklearn.ensemble import GradientBoostingClassifier, GradientBoostingRegressor
    from sklearn.metrics import log_loss

    x, y, held, target = data
    curves = []
    for p in points:
        settings: dict[str, Any] = {
            "learning_rate": 10 ** (-2.5 + 2.5 * p[0]),
            "max_depth": 1 + int(6 * p[3]),
            "subsample": 0.2 + 0.8 * p[5],
            "max_features": 0.1 + 0.9 * p[6],
            "min_samples_leaf": 1 + int(30 * p[4]),
            "n_estimators": 2 * EPOCHS,
            "random_state": 0,
        }
        if classes:
            model = GradientBoostingClassifier(**settings).fit(x, y)
            staged = [log_loss(target, part) for part in model.staged_predict_proba(held)]
        else:
            model = GradientBoostingRegressor(**settings).fit(x, y.ravel())
            staged = [float(((part - target.ravel()) ** 2).mean()) for part in model.staged_predict(held)]
        curves.append(staged[1::2])
    return np.array(curves)


def linear(data: Data, points: Array, *, classes: int) -> Array:
    """Return the held-out error of a linear classifier after each pass of stochastic gradient descent."""
    from sklearn.linear_model import SGDClassifier

    x, y, held, target = data
    curves = []
    for p in points:
        model = SGDClassifier(
            loss=("hinge", "log_loss", "modified_huber")[min(2, int(3 * p[1]))],
            penalty=("l2", "l1")[int(p[6] > 0.7)],
            alpha=10 ** (-7 + 6 * p[4]),
            learning_rate=("constant", "invscaling")[int(p[5] > 0.5)],
            eta0=10 ** (-4 + 4 * p[0]),
            power_t=0.1 + 0.5 * p[7],
            average=bool(p[3] > 0.7),
            random_state=0,
        )
        losses = []
        for _ in range(EPOCHS):
            model.partial_fit(x, y, classes=np.arange(classes))
            losses.append(float((model.predict(held) != target).mean()))
        curves.append(losses)
    return np.array(curves)


# --- data -------------------------------------------------------------------------------------------------------------
def _split(x: Array, y: Array, train: int, most: int = 4000) -> Data:
    order = np.random.default_rng(0).permutation(len(x))[:most]
    x, y = x[order], y[order]
    x = (x - x[:train].mean(0)) / (x[:train].std(0) + 1e-6)
    return x[:train], y[:train], x[train:], y[train:]


def _digits() -> Data:
    from sklearn.datasets import load_digits

    x, y = load_digits(return_X_y=True)
    return _split(x, y, 900)


def _autoencoder() -> Data:
    x, _, held, _ = _digits()
    x, held = np.clip(x, -3, 3), np.clip(held, -3, 3)
    return x, x, held, held


def _teacher() -> Data:
    rng = np.random.default_rng(1)
    x = rng.normal(size=(2000, 12))
    y = np.tanh(x @ rng.normal(size=(12, 8))) @ rng.normal(size=(8, 1)) / 2
    return _split(x, y + 0.2 * rng.normal(size=y.shape), 1000)


def _noisy_labels() -> Data:
    from sklearn.datasets import make_classification

    x, y = make_classification(
        2200, 30, n_informative=12, n_classes=4, n_clusters_per_class=2, flip_y=0.15, random_state=2
    )
    return _split(x, y, 1000)


def _diabetes() -> Data:
    from sklearn.datasets import load_diabetes

    x, y = load_diabetes(return_X_y=True)
    return _split(x, ((y - y.mean()) / y.std())[:, None], 250)


def _friedman() -> Data:
    from sklearn.datasets import make_friedman1

    x, y = make_friedman1(1500, noise=1.0, random_state=3)
    return _split(x, y[:, None], 500)


def _hastie() -> Data:
    from sklearn.datasets import make_hastie_10_2

    x, y = make_hastie_10_2(2000, random_state=4)
    return _split(x, (y > 0).astype(float), 600)


def _characters(text: str) -> Data:
    """Return the next letter after each four of a text: 27 classes."""
    letters = "".join(c if c.isalpha() and c.isascii() else " " for c in text.lower())
    codes = np.array([0 if c == " " else ord(c) - 96 for c in " ".join(letters.split())[:40000]])
    at = np.random.default_rng(5).permutation(len(codes) - 4)[:2000]
    x = np.concatenate([np.eye(27)[codes[at + k]] for k in range(4)], axis=1)
    y = codes[at + 4].astype(float)
    return x[:1000], y[:1000], x[1000:], y[1000:]


def _wine() -> Data:
    from sklearn.datasets import load_wine

    x, y = load_wine(return_X_y=True)
    return _split(x, y.astype(float), 90)


def _cancer() -> Data:
    from sklearn.datasets import load_breast_cancer

    x, y = load_breast_cancer(return_X_y=True)
    return _split(x, y.astype(float), 280)


def _moons() -> Data:
    from sklearn.datasets import make_moons

    x, y = make_moons(1500, noise=0.3, random_state=6)
    return _split(x, y.astype(float), 700)


def _few_noisy() -> Data:
    from sklearn.datasets import make_regression

    x, y = make_regression(500, 15, n_informative=6, noise=80.0, random_state=7)
    return _split(x, ((y - y.mean()) / y.std())[:, None], 250)


def _friedman_2() -> Data:
    from sklearn.datasets import make_friedman2

    x, y = make_friedman2(1500, noise=50.0, random_state=8)
    return _split(x, ((y - y.mean()) / y.std())[:, None], 700)


def _friedman_3() -> Data:
    from sklearn.datasets import make_friedman3

    x, y = make_friedman3(1500, noise=0.1, random_state=9)
    return _split(x, ((y - y.mean()) / y.std())[:, None], 500)


def _clusters() -> Data:
    from sklearn.datasets import make_classification

    x, y = make_classification(2500, 40, n_informative=8, n_classes=6, class_sep=0.8, random_state=10)
    return _split(x, y.astype(float), 1200)


def _quantiles() -> Data:
    from sklearn.datasets import make_gaussian_quantiles

    x, y = make_gaussian_quantiles(n_samples=1800, n_features=8, n_classes=4, random_state=11)
    return _split(x, y.astype(float), 900)


def _typing() -> Data:
    import typing

    return _characters(inspect.getsource(typing))


def _statistics() -> Data:
    import statistics

    return _characters(inspect.getsource(statistics))


def _documentation() -> Data:
    from pydoc_data.topics import topics

    return _characters(" ".join(topics[name] for name in sorted(topics)))


def _source() -> Data:
    import argparse

    return _characters(inspect.getsource(argparse))


def _dialogues() -> Data:
    """Return which of the topics a dialogue of data/train.csv has, by its pairs of letters."""
    with (HERE.parent / "data" / "train.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    topics = {name: place for place, name in enumerate(sorted({row["topic"] for row in rows}))}
    x = np.zeros((len(rows), 128))
    for place, row in enumerate(rows):
        for one, two in zip(row["dialogue"], row["dialogue"][1:], strict=False):
            x[place, (ord(one) * 31 + ord(two)) % 128] += 1
    return _split(x, np.array([float(topics[row["topic"]]) for row in rows]), int(0.6 * len(rows)))


Task = Callable[[Array], Array]
_FIRST_CHOOSING: dict[str, Task] = {
    "digits, network, error": lambda points: networks(_digits(), points, classes=10, error=True),
    "teacher, network, squared error": lambda points: networks(_teacher(), points, classes=0),
    "documentation, next letter, log loss": lambda points: networks(_documentation(), points, classes=27),
    "friedman, boosting, squared error": lambda points: boosting(_friedman(), points, classes=0),
    "noisy labels, linear, error": lambda points: linear(_noisy_labels(), points, classes=4),
}
_FIRST_CONFIRMING: dict[str, Task] = {
    "digits, autoencoder, squared error": lambda points: networks(_autoencoder(), points, classes=0),
    "noisy labels, network, log loss": lambda points: networks(_noisy_labels(), points, classes=4),
    "diabetes, network, squared error": lambda points: networks(_diabetes(), points, classes=0),
    "source, next letter, error": lambda points: networks(_source(), points, classes=27, error=True),
    "dialogues, topic, log loss": lambda points: networks(_dialogues(), points, classes=12),
    "hastie, boosting, log loss": lambda points: boosting(_hastie(), points, classes=2),
    "digits, linear, error": lambda points: linear(_digits(), points, classes=10),
}
# Made later, for a rule that is to hold on more kinds of curves; which is for what was again settled beforehand.
_LATER_CHOOSING: dict[str, Task] = {
    "wine, network, log loss": lambda points: networks(_wine(), points, classes=3),
    "few and noisy, network, squared error": lambda points: networks(_few_noisy(), points, classes=0),
    "moons, network, log loss": lambda points: networks(_moons(), points, classes=2),
    "cancer, boosting, log loss": lambda points: boosting(_cancer(), points, classes=2),
    "clusters, linear, error": lambda points: linear(_clusters(), points, classes=6),
    "typing, next letter, error": lambda points: networks(_typing(), points, classes=27, error=True),
    "friedman 2, network, squared error": lambda points: networks(_friedman_2(), points, classes=0),
}
_LATER_CONFIRMING: dict[str, Task] = {
    "cancer, network, log loss": lambda points: networks(_cancer(), points, classes=2),
    "friedman 3, boosting, squared error": lambda points: boosting(_friedman_3(), points, classes=0),
    "quantiles, network, error": lambda points: networks(_quantiles(), points, classes=4, error=True),
    "statistics, next letter, log loss": lambda points: networks(_statistics(), points, classes=27),
    "quantiles, linear, error": lambda points: linear(_quantiles(), points, classes=4),
}
CHOOSING = {**_FIRST_CHOOSING, **_LATER_CHOOSING}
CONFIRMING = {**_FIRST_CONFIRMING, **_LATER_CONFIRMING}
_TASKS = {**_FIRST_CHOOSING, **_FIRST_CONFIRMING, **_LATER_CHOOSING, **_LATER_CONFIRMING}  # a task's place is its seed


def main() -> int:
    """Train everything; write the file."""
    known: dict[str, Array] = dict(np.load(FILE)) if FILE.exists() else {}
    missing = [name for name in _TASKS if f"{name}/curves" not in known]
    with ProcessPoolExecutor(_PROCESSES) as pool:
        for name, points, curves in pool.map(_made, missing):
            known[f"{name}/points"] = points.astype(np.float32)
            known[f"{name}/curves"] = np.array([[float(f"{v:.5g}") for v in row] for row in curves], dtype=np.float32)
            print(f"{name}: best {np.nanmin(curves):.4g}, median last {np.nanmedian(curves[:, -1]):.4g}", flush=True)
            FILE.parent.mkdir(exist_ok=True)
            np.savez_compressed(FILE, **known)  # type: ignore[arg-type]
    return 0


def _made(name: str) -> tuple[str, Array, Array]:
    """Return a task's name, its configurations and their curves."""
    seed = 100 + list(_TASKS).index(name)
    points = np.random.default_rng(seed).random((CONFIGURATIONS, DIMENSIONS)).round(4)
    return name, points, _TASKS[name](points)


if __name__ == "__main__":
    sys.exit(main())
