"""Best against second best: what one seed each cannot tell is not told, and noise is never called a lead."""

import numpy as np
import pytest
from depth import examples
from hypothesis import given, settings
from hypothesis import strategies as st
from snapshots import words_of

from sweepkit.analysis.foreign import from_rows
from sweepkit.analysis.lead import Sureness, lead
from sweepkit.analysis.lead_words import differences_text, lead_sentences, verdict
from sweepkit.analysis.summary import summary
from sweepkit.model.metric import Goal
from sweepkit.stats.top_two import blind_quantile, lead_quantile

WORDS = words_of(__file__)


def table(rows, goal=Goal.MAXIMIZE):
    return from_rows([{"number": index, **row} for index, row in enumerate(rows)], goal=goal, name="t")


def single(*values, **more):
    return table([{"value": value, "params.lr": 10.0**-index} for index, value in enumerate(values)], **more)


def repeated(means, sd, seeds, rng):
    rows = [
        {"value": mean + sd * float(rng.normal()), "params.lr": index, "params.seed": seed}
        for index, mean in enumerate(means)
        for seed in range(seeds)
    ]
    return table(rows)


def test_one_seed_each_is_unconfirmed_whatever_the_lead():
    for lead_by in (1e-6, 1.0, 1e6):
        found = lead(single(1.0, 1.0 + lead_by, 0.5))
        assert found is not None and found.second is not None
        assert found.sureness is Sureness.UNCONFIRMED and verdict(found) == "unconfirmed" and found.luck is None
        assert found.first.runs[0].number == 1 and found.second.runs[0].number == 0
        said = " ".join(lead_sentences(found))
        assert WORDS["no-configuration-finished"] in said and "all 3 equal" in said


def test_where_fresh_seeds_have_told_more_the_sweeps_own_doubts_are_left_out():
    swept = single(1.0, 2.0, 0.5)
    found = lead(swept)
    assert found is not None
    assert lead_sentences(found, confirmed=True) == lead_sentences(found)[:1]
    assert WORDS["until-it-is"] in summary(swept)[-1]
    assert summary(swept, confirmed=True)[-1].startswith(WORDS["the-best-were"])


def test_the_noise_that_explains_a_lead_is_told():
    found = lead(single(0.71589, 0.69752))
    assert found is not None
    assert f"{0.01837 / (1.96 * 2**0.5):.2g}" in " ".join(lead_sentences(found))


@pytest.mark.parametrize("count", [2, 12, 60])
def test_the_noise_that_is_told_makes_such_a_lead_in_1_of_20_sweeps(count):
    drawn = np.sort(np.random.default_rng(count).normal(size=(20_000, count)), axis=1)
    leads = drawn[:, -1] - drawn[:, -2]
    assert np.mean(leads > lead_quantile(count)) == pytest.approx(0.05, abs=0.006)
    assert lead_quantile(count) <= blind_quantile() + 1e-9  # neighbours are nearer than two picked blindly


def test_goals_ties_and_too_few():
    assert lead(single(3.0, 1.0, goal=Goal.MINIMIZE)).first.value == 1.0
    tie = lead(single(1.0, 1.0))
    assert verdict(tie) == "a tie" and tie.first.runs[0].number == 0
    only = lead(single(1.0))
    assert only.second is None and lead_sentences(only) == [WORDS["it-is-the"]]
    nothing = table([{"value": "", "params.lr": 1, "state": "failed"}])
    assert lead(nothing) is None and nothing.configurations() == []


def test_seeds_of_one_configuration_are_averaged():
    rows = [{"value": v, "params.lr": lr, "params.seed": s} for lr, s, v in ((1, 1, 0.9), (1, 2, 0.1), (2, 1, 0.6))]
    found = lead(table(rows))
    assert found.first.value == 0.6 and found.second.value == 0.5 and len(found.second.runs) == 2
    assert list(found.differs) == ["lr"]


def test_a_seed_that_changes_nothing_is_said():
    rows = [{"value": float(lr), "params.lr": lr, "params.seed": s} for lr in (1, 2) for s in (1, 2)]
    found = lead(table(rows))
    assert found.sd == (0.0, 2) and found.sureness is Sureness.UNCONFIRMED
    assert WORDS["the-seed-does"] in " ".join(lead_sentences(found))


def test_a_stopped_best_is_marked():
    rows = [{"value": 2.0, "params.lr": 1, "state": "pruned"}, {"value": 1.0, "params.lr": 2, "state": "complete"}]
    assert WORDS["the-best-was"] in lead_sentences(lead(table(rows)))[-1]


def test_noise_alone_is_seldom_called_a_lead():
    rng = np.random.default_rng(0)
    beyond = sum(lead(repeated([0.5] * 12, 0.01, 3, rng)).sureness is Sureness.BEYOND for _ in range(100))
    assert beyond <= 11  # 5 % of 100 are 5; more than 11 in one of 250 cases


@pytest.mark.slow
def test_two_equal_best_are_seldom_told_apart():
    rng = np.random.default_rng(2)  # the least favourable truth: the two are equal, all others far below
    beyond = sum(lead(repeated([0.9, 0.9, *[0.1] * 10], 0.01, 3, rng)).sureness is Sureness.BEYOND for _ in range(200))
    assert beyond <= 18  # 5 % of 200 are 10


def test_a_lead_of_three_seed_sds_is_mostly_seen():
    rng = np.random.default_rng(3)  # .72 by the t test, .10 when corrected for all pairs
    seen = [lead(repeated([0.53, *[0.5] * 11], 0.01, 3, rng)).sureness is Sureness.BEYOND for _ in range(60)]
    assert np.mean(seen) > 0.5


def test_a_large_lead_is_seen():
    rng = np.random.default_rng(1)
    seen = [lead(repeated([0.6] + [0.5] * 5, 0.01, 3, rng)).sureness is Sureness.BEYOND for _ in range(20)]
    assert np.mean(seen) > 0.9


def test_long_lists_of_differences_are_cut():
    said = differences_text({f"p{index}": (1, None) for index in range(9)})
    assert said.startswith("p0 (1 against none)") and said.endswith(" and 3 more")


@settings(max_examples=examples(60), deadline=None)
@given(
    st.lists(
        st.tuples(st.floats(-1e300, 1e300), st.integers(0, 3), st.integers(0, 3), st.sampled_from(["", "pruned"])),
        max_size=12,
    )
)
def test_any_table_gives_sentences(rows):
    if not rows:
        return
    named = [{"value": v, "params.a": a, "params.seed": s, "state": state or "finished"} for v, a, s, state in rows]
    found = lead(table(named))
    assert found is not None
    assert all(sentence.endswith(".") for sentence in lead_sentences(found)) and verdict(found)
    if found.second is not None:
        assert found.first.value >= found.second.value or found.difference == pytest.approx(0)


def test_a_lead_that_needs_equal_spreads_says_so():
    scores = [(9.0, 12.0, 15.0), (5.0, 8.0, 11.0), *[(0.0, 0.1, -0.1)] * 7]  # the two best scatter thirtyfold
    rows = [
        {"params.a": place, "params.seed": seed, "value": value, "number": 3 * place + seed}
        for place, values in enumerate(scores)
        for seed, value in enumerate(values)
    ]
    noisy = lead(from_rows(rows))
    assert noisy.sureness is Sureness.BEYOND and not noisy.alone
    quiet = lead(from_rows([row | {"value": row["params.a"] + row["params.seed"] / 100} for row in rows]))
    assert quiet.sureness is Sureness.BEYOND and quiet.alone
    assert len(" ".join(lead_sentences(noisy))) > len(" ".join(lead_sentences(quiet)))
