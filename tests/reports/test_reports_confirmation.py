import dataclasses
import json

import pytest
from snapshots import words_of

from sweepkit.model.ranked import ConfirmationRun, RankedConfiguration
from sweepkit.reports.confirmation import (
    FILE,
    Confirmation,
    confirmation_text,
    from_plain,
    labels_of,
    read_confirmation,
    section_of,
    verdict,
    write_confirmation,
)
from sweepkit.reports.holdout import HoldoutResult, HoldoutScore

WORDS = words_of(__file__)


def member(number, mean, **changes):
    fields = {
        "run_id": f"run{number}",
        "number": number,
        "params": {"모델": "<b>큰</b>", "lr": 1e-3},
        "sweep_rank": number + 1,
        "by_model": number == 1,
        "sweep_score": 0.5,
        "scores": (0.5,),
        "fresh": (
            ConfirmationRun(run_id="f", seed=1001, value=mean),
            ConfirmationRun(run_id="g", seed=1002, value=mean + 0.01),
        ),
        "mean": mean,
        "low": mean - 0.02,
        "high": mean + 0.02,
        "optimism": 0.5 - mean,
        "estimate": mean,
        "chance": 0.6 if number == 0 else 0.4,
        "tied": True,
        "lost": 0,
        "rounds": 2,
        "duration_s": 20.0 if number == 0 else 10.0,
    }
    return RankedConfiguration(**{**fields, **changes})


def said(**changes):
    fields = {
        "sweep": "첫 번째",
        "confirmation": "첫 번째-confirm",
        "metric": "acc",
        "goal": "maximize",
        "configurations": 50,
        "budget": 15,
        "rounds": ((2, 2),),
        "seeds": (1001, 1002),
        "seed_parameter": "seed",
        "rope": None,
        "model": "a Gaussian process, held-out R² 0.80",
        "runs": 4,
        "members": (member(0, 0.47), member(1, 0.46)),
        "spread": 0.004,
        "df": 2,
        "fallback": False,
        "end": "all 4 runs of the race are made",
        "equal": (),
        "holdout": None,
        "no_holdout": "none is named",
    }
    return Confirmation(**{**fields, **changes})


LOOK = HoldoutResult(
    parameters={"split": "test"},
    opened_at=1.0,
    opened=1,
    sweep="h",
    looks=(
        HoldoutScore(run_id="run0", scores=(0.44, 0.46), report=3, runs=2),
        HoldoutScore(run_id="run1", scores=(), report=None, runs=2),
    ),
)


@pytest.mark.parametrize(
    "one", [said(), said(holdout=LOOK, no_holdout=""), said(members=(), end=None, spread=None, df=None)]
)
def test_what_is_written_is_read_back(tmp_path, one):
    write_confirmation(tmp_path, one)
    assert from_plain(read_confirmation(tmp_path)) == one


def test_a_file_of_an_older_version_is_read(tmp_path):
    one = said(members=(member(0, 0.47), member(1, 0.46, scores=())))
    found = one.plain()
    for item in found["members"]:
        assert item["stopped"] is (item["number"] == 1)
        del item["scores"]
    assert from_plain(found) == one


def test_the_words():
    words = verdict(said(holdout=LOOK))
    assert words[0] == WORDS["with-a-chance"]
    assert words[1].startswith(WORDS["configurations-cannot-be"]) and "run 1 (run1) is 2.0 times cheaper" in words[1]
    assert words[2] == (WORDS["the-sweep's-score"])
    assert (
        words[3].startswith("hold-out") and "run 0 (run0) 0.4500 ± " in words[3] and "run 1 (run1) no value" in words[3]
    )
    assert not any("part of the optimism stays" in line for line in words)
    assert any("part of the optimism stays" in line for line in verdict(said()))
    text = confirmation_text(said(holdout=dataclasses.replace(LOOK, opened=2)))
    assert WORDS["times-so-it"] in text and "첫 번째: 2 of 50 configurations" in text


def test_of_equal_ones_the_cheapest_is_taken():
    one = said(equal=("run0", "run1"), rope=0.02)
    assert one.winner == "run1" and verdict(one)[0].startswith("take run 1 (run1): 2 are equal within ±0.02")


def test_a_minimized_score_that_looked_too_bad():
    one = said(goal="minimize", members=(member(0, 0.47, optimism=-0.03),), rounds=((1, 2),))
    words = verdict(one)
    assert words[0] == "take run 0 (run0), the only configuration" and words[1].endswith(WORDS["the-sweep-had-it-low"])


def test_a_score_that_fresh_seeds_do_not_contradict_is_not_called_wrong():
    one = said(members=(member(0, 0.49),), rounds=((1, 2),))  # 0.47 to 0.51; the sweep said 0.5
    assert verdict(one)[1].endswith(WORDS["the-sweep's-within"])


@pytest.mark.parametrize(("other", "taken"), [(0.47, "run 0 (run0) is still"), (0.49, "run 1 (run1) is the")])
def test_where_the_hold_out_contradicts_both_sets_together_say_which_to_take(other, taken):
    looks = tuple(
        HoldoutScore(run_id=f"run{number}", scores=(score,), report=None, runs=1)
        for number, score in ((0, 0.45), (1, other))
    )
    race = said(members=(member(0, 0.50), member(1, 0.47)), holdout=dataclasses.replace(LOOK, looks=looks))
    (line,) = [one for one in verdict(race) if "contradicts" in one]
    assert taken in line and "run 1 (run1) is better there" in line


def test_what_cannot_be_said_is_not():
    alike = ConfirmationRun(run_id="f", seed=1001, value=0.4)
    same = member(0, 0.4, fresh=(alike, alike), lost=1, chance=None, low=None, high=None)
    words = " ".join(verdict(said(members=(same,), spread=0.0, fallback=True)))
    assert WORDS["every-seed-gave"] in words and WORDS["without-a-value"] in words
    assert "too large" in words and "None" not in words + confirmation_text(said(members=(same,)))
    none = dataclasses.replace(member(0, 0.4), mean=None, low=None, high=None, optimism=None, fresh=(), chance=None)
    assert verdict(said(members=(none,)))[0].startswith("nothing is confirmed")


def looked(number, *values_and_reports):
    fresh = tuple(
        ConfirmationRun(run_id=f"{number}{at}", seed=1001 + at, value=value, reports=reports, last=last)
        for at, (value, reports, last) in enumerate(values_and_reports)
    )
    return member(number, sum(run.value for run in fresh) / len(fresh), fresh=fresh)


def test_unequal_looks_are_warned_of_with_who_is_best_at_equal_ones():
    members = (looked(0, (0.5, 40, 0.3), (0.5, 40, 0.3)), looked(1, (0.4, 2, 0.4), (0.4, 2, 0.4)))
    (line,) = [one for one in verdict(said(members=members, best_of_reports=True)) if WORDS["more-looks"] in one]
    assert "2 to 40" in line and "run 1 (run1)" in line and "0.4000" in line
    assert not any(WORDS["more-looks"] in one for one in verdict(said(members=members)))
    alike = (members[0], looked(1, (0.4, 40, 0.3), (0.4, 40, 0.3)))
    assert not any(WORDS["more-looks"] in one for one in verdict(said(members=alike, best_of_reports=True)))


def test_a_program_that_ignores_its_seed_is_confirmed_in_nothing(tmp_path):
    run = ConfirmationRun(run_id="f", seed=1001, value=0.5)
    one = said(members=(member(0, 0.5, fresh=(run,), optimism=0.0, chance=None),), spread=0.0, fallback=True)
    assert one.seed_ignored and WORDS["every-seed-gave"] in verdict(one)[0]
    write_confirmation(tmp_path, one)
    assert not labels_of(tmp_path)["run0"].startswith("confirmed")
    assert not said().seed_ignored


def test_a_section_and_labels_of_a_folder(tmp_path):
    assert section_of(tmp_path) is None and labels_of(tmp_path) == {}
    write_confirmation(tmp_path, said(holdout=LOOK))
    section = section_of(tmp_path)
    assert section.anchor == "confirmation" and "run 0 (run0)" in section.body and "<b>큰" not in section.body
    assert labels_of(tmp_path) == {
        "run0": "confirmed 0.4700, 2 fresh seeds",
        "run1": "confirmed 0.4600, 2 fresh seeds",
    }


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"schema": 2, "members": []}', '{"schema": 1, "members": 3}'])
def test_a_file_that_is_no_confirmation_counts_as_none(tmp_path, text):
    (tmp_path / FILE).write_text(text)
    assert section_of(tmp_path) is None and labels_of(tmp_path) == {}


def test_the_file_says_who_won(tmp_path):
    found = json.loads(write_confirmation(tmp_path, said(holdout=LOOK)).read_text(encoding="utf-8"))
    assert (found["winner"], found["cheapest"], found["tied"]) == ("run0", "run1", ["run0", "run1"])
    assert found["holdout"]["looks"][0]["mean"] == pytest.approx(0.45)


def looks(*errors, scores=(0.44, 0.46)):
    return dataclasses.replace(
        LOOK,
        looks=tuple(
            HoldoutScore(
                run_id=f"run{at}",
                scores=scores,
                report=3,
                runs=2,
                example_error=error,
                examples=0 if error is None else 80,
            )
            for at, error in enumerate(errors)
        ),
    )


@pytest.mark.parametrize(
    ("errors", "half", "covers"),
    [
        ((0.02, 0.02), ".0402", WORDS["new-examples"]),
        ((0.02, None), ".0122", WORDS["this-set-alone"]),  # what the two are told by must be the same thing
        ((None, None), ".0122", WORDS["this-set-alone"]),
    ],
)
def test_what_the_interval_of_a_hold_out_covers_is_said(tmp_path, errors, half, covers):
    race = said(holdout=looks(*errors), no_holdout="")
    words = verdict(race)
    at = next(place for place, text in enumerate(words) if text.startswith("hold-out"))
    assert words[at].count(f"± {half}") == 2 and words[at + 1].startswith(covers)
    write_confirmation(tmp_path, race)
    assert from_plain(read_confirmation(tmp_path)) == race


def test_a_look_of_an_older_version_is_read():
    found = json.loads(json.dumps(said(holdout=looks(None)).plain()))
    for item in found["holdout"]["looks"]:
        del item["example_error"], item["examples"]
    assert from_plain(found).holdout == looks(None)


def test_a_seed_that_is_ignored_gives_no_interval_of_width_nought():
    alike = tuple(ConfirmationRun(run_id=name, seed=seed, value=0.47) for name, seed in (("f", 1), ("g", 2)))
    one = member(0, 0.47, fresh=alike, low=0.47, high=0.47, chance=None)
    text = confirmation_text(said(members=(one,), spread=0.0, holdout=looks(None), no_holdout=""))
    assert "±" not in text and "[0.47" not in text
    assert "±" in confirmation_text(said(members=(one,), spread=0.0, holdout=looks(0.02), no_holdout=""))
