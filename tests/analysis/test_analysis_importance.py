"""Importance on sweeps whose truth is known, and what must hold for any: gates, noise, conditionals, words."""

from dataclasses import replace

import numpy as np
import pytest
from depth import half
from snapshots import words_of

from sweepkit.analysis import importance
from sweepkit.analysis.association import associations, correlation_ratio, cramers_v, spearman
from sweepkit.analysis.encoding import bookkeeping, encode
from sweepkit.analysis.estimators import ESTIMATORS
from sweepkit.analysis.foreign import from_rows
from sweepkit.analysis.forest import Grown, Shuffle, _shuffled, grow
from sweepkit.analysis.importance import ForestEffort, importances
from sweepkit.analysis.importance_result import Gate, Verdict
from sweepkit.errors import DataError

WORDS = words_of(__file__)

QUICK = ForestEffort(trees=half(100), refit_trees=half(40), subsamples=half(15))


def sweep(n, seed, truth, **extra):
    rng = np.random.default_rng(seed)
    rows = []
    for _ in range(n):
        row = {
            "lr": float(10 ** rng.uniform(-6, -2)),
            "batch": int(rng.choice([4, 8, 16, 32])),
            "decay": float(10 ** rng.uniform(-6, -1)),
            "scheduler": str(rng.choice(list("abcdef"))),
            "lora": bool(rng.integers(2)),
        }
        if row["lora"]:
            row["lora_r"] = int(rng.choice([4, 8, 16, 32]))
        noise = float(rng.normal())
        rows.append({f"params.{name}": value for name, value in row.items()} | {"value": truth(row, noise)} | extra)
    return from_rows(rows, name="truth")


def truth_a(row, noise):
    return -0.8 * (np.log10(row["lr"]) + 3.6) ** 2 + 0.33 * (np.log2(row["batch"]) - 3.5) + 0.45 * noise


def test_truth_a_at_100_runs():
    result = importances(sweep(100, 1, truth_a), effort=QUICK)
    assert result.shares[0].name == "lr"
    assert result.shares[0].verdict is Verdict.CLEAR
    assert result.shares[0].low > 0 and result.shares[0].value > 0.3 and result.r2 > 0.3
    others = [
        share.name for share in result.shares if share.verdict is Verdict.CLEAR and share.name not in ("lr", "batch")
    ]
    assert others == []
    assert any(sentence.startswith("Clear: lr") for sentence in result.sentences)


@pytest.mark.parametrize("seed", [1, 2, pytest.param(3, marks=pytest.mark.heavy)])
def test_noise_gives_nothing_clear(seed):
    result = importances(sweep(60, seed, lambda row, noise: noise), effort=QUICK)
    assert not [share for share in result.shares if share.verdict is Verdict.CLEAR]


def test_the_refits_of_many_configurations_are_as_cheap_as_those_of_250(monkeypatch):
    grown = []

    def counted(x, y, shuffles, *, trees, rng):  # nothing is grown: what would be is what counts
        grown.append(trees * len(y))
        return Grown(shares=np.zeros(len(shuffles)), r2=0.5, impurity=np.zeros(x.shape[1]), predicted=y)

    monkeypatch.setattr(importance, "grow", counted)
    rows = {}
    for n in (250, 1000, 2000):
        grown.clear()
        importances(sweep(n, 1, truth_a), estimator="forest")
        rows[n] = sum(grown[2:])  # the first two are the forest itself
    assert rows[1000] == rows[2000] == pytest.approx(rows[250], rel=0.02)


def test_the_same_seed_gives_the_same_numbers():
    table = sweep(30, 4, truth_a)
    few = ForestEffort(trees=20, refit_trees=10, subsamples=10)
    assert importances(table, effort=few) == importances(table, effort=few)


def test_an_interaction_is_found_where_it_is():
    def moving(row, noise):
        return float((np.log10(row["lr"]) > -4) == (row["batch"] > 8)) + 0.05 * noise

    result = importances(sweep(120, 2, moving), effort=QUICK)
    assert {share.name for share in result.shares[:2]} == {"lr", "batch"}
    strongest = result.interactions[0]
    assert {strongest.a, strongest.b} == {"lr", "batch"} and strongest.value < 0 and strongest.clear
    assert any("interact" in sentence for sentence in result.sentences)


def test_a_conditional_parameter_counts_among_the_runs_that_have_it():
    def only_lora(row, noise):
        return (np.log2(row["lora_r"]) if "lora_r" in row else 0.0) + 0.1 * noise

    result = importances(sweep(100, 3, only_lora), effort=QUICK)
    by_name = {share.name: share for share in result.shares}
    assert by_name["lora_r"].verdict is Verdict.CLEAR
    assert 20 < by_name["lora_r"].active < 80
    assert by_name["lr"].verdict is not Verdict.CLEAR


def test_too_few_runs_get_no_model_and_no_verdict():
    result = importances(sweep(15, 1, truth_a))
    assert result.gate is Gate.TOO_FEW and result.estimator == "eps_squared"
    assert {share.verdict for share in result.shares} == {Verdict.UNJUDGED}
    assert result.sentences[0].startswith("Too few runs: 15 configurations")


@pytest.mark.parametrize(
    ("rows", "stated"),
    [
        ([{"params.a": 1, "value": None, "state": "failed"}], "No run finished"),
        ([{"params.a": 1, "value": 1.0}], "Only 1 configuration"),
        ([{"params.a": i, "value": 1.0} for i in range(30)], "Nothing to explain"),
        ([{"params.a": 1, "value": float(i)} for i in range(30)], "Only"),
    ],
)
def test_what_cannot_be_explained_gets_a_sentence(rows, stated):
    result = importances(from_rows(rows))
    assert result.gate is Gate.NOTHING and result.shares == () and stated in result.sentences[0]


def test_runs_that_cannot_be_compared_are_left_out_and_counted():
    rows = [{"params.a": float(i), "value": float(i % 7), "state": "finished"} for i in range(30)]
    rows += [{"params.a": 0.5, "value": 0.0, "state": "stopped"}, {"params.a": 0.5, "value": None, "state": "failed"}]
    design = encode(from_rows(rows))
    assert (design.n, design.left_out) == (30, {"stopped early": 1, "failed": 1})


def test_seeds_ids_paths_and_constants_are_no_causes_and_replicates_are_averaged():
    rows = [
        {"params.a": i // 2, "params.seed": i, "params.output_dir": f"o{i}", "params.fixed": 1, "value": float(i)}
        for i in range(20)
    ]
    design = encode(from_rows(rows))
    assert [group.name for group in design.groups] == ["a"]
    assert set(design.dropped) == {"seed", "output_dir", "fixed"}
    assert (design.n, design.runs, design.replicates) == (10, 20, 10)
    assert design.y.tolist() == [i * 2 + 0.5 for i in range(10)]
    assert bookkeeping("data.random_state") and not bookkeeping("path_dropout")


@pytest.mark.slow
def test_correlated_parameters_are_told_together():
    rng = np.random.default_rng(1)
    rows = [
        {"params.a": float(a), "params.b": float(a + 0.05 * rng.normal()), "value": float(a)}
        for a in rng.uniform(0, 1, 60)
    ]
    result = importances(from_rows(rows), effort=QUICK)
    assert [(pair.a, pair.b) for pair in result.together] == [("a", "b")]
    assert result.together[0].rho > 0.9
    assert any("went together" in sentence for sentence in result.sentences)


@pytest.mark.parametrize("estimator", sorted(ESTIMATORS))
def test_every_estimator_puts_the_learning_rate_before_noise(estimator):
    result = importances(sweep(80, 5, lambda row, noise: np.log10(row["lr"]) + 0.1 * noise), estimator=estimator)
    assert result.estimator == estimator and result.shares[0].name == "lr"
    assert all(share.low is None for share in result.shares)


def test_an_unknown_estimator_is_refused():
    with pytest.raises(DataError, match=WORDS["must-be-one"]):
        importances(sweep(20, 1, truth_a), estimator="shap")


def test_a_shuffle_keeps_rows_in_their_block_and_moves_its_columns_only():
    rng = np.random.default_rng(0)
    rows = np.arange(40, dtype=np.float32).reshape(10, 4)
    blocks = np.array([[-1, -1, 0, 0, 0, 0, 1, 1, 1, 1]])
    moved = np.array([[False, True, True, False]])
    for _ in range(20):
        plain, stack = _shuffled(rows, blocks, moved, rng)
        assert (plain == rows).all()
        assert (stack[:, [0, 3]] == rows[:, [0, 3]]).all() and (stack[:2] == rows[:2]).all()
        assert set(stack[2:6, 1]) == set(rows[2:6, 1]) and set(stack[6:, 1]) == set(rows[6:, 1])
        assert (stack[:, 2] - stack[:, 1] == 1).all()


def test_a_forest_of_one_dominant_column_gives_it_its_total_share():
    rng = np.random.default_rng(0)
    x = rng.uniform(size=(300, 2)).astype(np.float32)
    grown = grow(
        x,
        x[:, 0].astype(float),
        [Shuffle(at=np.array([i]), blocks=np.zeros(300, int)) for i in range(2)],
        trees=60,
        rng=rng,
    )
    assert grown.shares[0] == pytest.approx(1.0, abs=0.15) and abs(grown.shares[1]) < 0.05
    assert grown.r2 > 0.9 and grown.impurity.sum() == pytest.approx(1.0)


def test_associations_equal_scipys():
    from scipy.stats import chi2_contingency, spearmanr

    rng = np.random.default_rng(3)
    for _ in range(50):
        a, b = rng.integers(0, 6, 25), rng.normal(size=25)
        assert spearman(a, b) == pytest.approx(spearmanr(a, b).statistic, abs=1e-12)
    x, y = rng.choice(list("abc"), 80), rng.choice(list("xy"), 80)
    table = np.array([[np.sum((x == i) & (y == j)) for j in "xy"] for i in "abc"])
    assert cramers_v(x.tolist(), y.tolist())[1] == pytest.approx(chi2_contingency(table, correction=False).pvalue)
    assert correlation_ratio(["a"] * 5 + ["b"] * 5, [1.0] * 5 + [2.0] * 5) == (1.0, 0.0)


def test_only_what_is_beyond_chance_is_shown():
    rng = np.random.default_rng(1)
    rows = [{f"params.p{j}": float(rng.normal()) for j in range(8)} for _ in range(40)]
    for row in rows:
        row["value"] = row["params.p0"] * 2 + 0.1 * float(rng.normal())
    shown = [(cell.a, cell.b) for cell in associations(from_rows(rows)).cells if cell.shown]
    assert shown == [("p0", "value")]


def led_sweep(n, seed, truth):
    """Return a sweep of an engine that changes a little of the best so far: what was lucky is repeated."""
    rng = np.random.default_rng(seed)

    def drawn():
        return {
            "lr": float(10 ** rng.uniform(-6, -2)),
            "decay": float(10 ** rng.uniform(-6, -1)),
            "dropout": float(rng.uniform(0, 0.5)),
            "layers": int(rng.integers(2, 9)),
            "scheduler": str(rng.choice(list("abcd"))),
        }

    tried = []
    for number in range(n):
        params = drawn()
        if number >= 10:
            best = max(tried, key=lambda item: item[1])[0]
            params = {name: value if rng.random() < 0.2 else best[name] for name, value in params.items()}
        tried.append((params, truth(params, float(rng.normal()))))
    rows = [
        {f"params.{name}": value for name, value in params.items()} | {"value": value, "number": number}
        for number, (params, value) in enumerate(tried)
    ]
    return replace(from_rows(rows, name="led"), method="bayes")


@pytest.mark.parametrize("sweeps", [5, pytest.param(20, marks=pytest.mark.heavy)])
def test_what_an_engine_repeats_by_luck_is_not_called_clear(sweeps):
    def only_lr(row, noise):
        return -((np.log10(row["lr"]) + 3.6) ** 2) + 0.7 * noise

    found = [importances(led_sweep(60, seed, only_lr)) for seed in range(sweeps)]
    assert {result.estimator for result in found} == {"anova"}
    clear = [share.name for result in found for share in result.shares if share.verdict is Verdict.CLEAR]
    assert clear.count("lr") >= 0.5 * sweeps and len(clear) - clear.count("lr") <= 0.15 * sweeps
    assert np.mean([result.shares[0].name == "lr" for result in found]) >= 0.8
    forest = importances(led_sweep(60, 0, only_lr), estimator="forest", effort=QUICK)
    assert {share.verdict for share in forest.shares} == {Verdict.UNJUDGED} and not forest.interactions
    together = associations(led_sweep(60, 0, only_lr))
    assert together.line is None and not any(cell.shown for cell in together.cells)


def test_where_the_forest_sees_nothing_the_process_is_asked_and_named():
    rng = np.random.default_rng(3)
    rows = []
    for _ in range(60):
        a, b = bool(rng.integers(2)), bool(rng.integers(2))
        other = float(rng.uniform())
        rows.append(
            {"params.a": a, "params.b": b, "params.c": other, "params.d": float(rng.uniform())}
            | {"value": float(a != b) + 0.25 * float(rng.normal())}
        )
    result = importances(from_rows(rows), effort=QUICK)
    if result.estimator == "anova":  # the forest's luck with XOR differs by version
        assert any("random forest predicts nothing" in sentence for sentence in result.sentences)
    else:
        result = importances(from_rows(rows), estimator="anova")
    assert {share.name for share in result.shares[:2]} == {"a", "b"} and result.r2 > 0.5
    assert {share.name for share in result.shares if share.verdict is Verdict.CLEAR} == {"a", "b"}


@pytest.mark.slow
def test_of_two_parameters_that_went_together_not_both_are_clear():
    rng = np.random.default_rng(5)
    rows = []
    for _ in range(60):
        lr = rng.uniform(-6, -2)
        head = 0.9 * lr + 0.5 * rng.normal()
        rows.append({"params.lr": lr, "params.head": head, "value": -((lr + 4) ** 2) + 0.5 * rng.normal()})
    for estimator in ("forest", "anova"):
        found = importances(from_rows(rows), estimator=estimator, effort=QUICK)
        clear = {share.name for share in found.shares if share.verdict is Verdict.CLEAR}
        assert clear < {"lr", "head"} and found.together


def test_a_bar_holds_its_share():
    result = importances(sweep(60, 8, truth_a), effort=QUICK)
    assert all(share.low <= share.value <= share.high and share.se is not None for share in result.shares)


@pytest.mark.heavy
@pytest.mark.parametrize("estimator", ["forest", "anova"])
def test_in_200_small_sweeps_each_bar_holds_its_share(estimator):
    least = ForestEffort(trees=20, refit_trees=10, subsamples=6)
    judged = 0
    for seed in range(100):
        strength = (0.0, 0.3, 1.0, 3.0)[seed % 4]

        def truth(row, noise, strength=strength):
            return strength * truth_a(row, 0.0) + noise

        found = importances(sweep(18 + seed % 30, seed, truth), estimator=estimator, effort=least)
        # An interaction's ends are quantiles of refits, and called so; a share's are its standard error.
        judged += bool(found.shares)
        assert all(bar.low <= bar.value <= bar.high for bar in found.shares if bar.low is not None), seed
    assert judged == 100


@pytest.mark.parametrize(("count", "said"), [(0, "no run has a value"), (1, "only one run finished")])
def test_a_parameter_is_not_called_the_same_where_hardly_a_run_has_a_value(count, said):
    rows = [{"params.lr": 0.1 * place, "value": 1.0 if place < count else None} for place in range(12)]
    table = from_rows([{**row, "state": "failed" if row["value"] is None else "finished"} for row in rows])
    stated = " ".join(importances(table, effort=QUICK).dropped.values())
    assert said in stated and "the same in every run" not in stated
