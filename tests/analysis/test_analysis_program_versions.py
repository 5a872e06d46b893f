"""What is said of runs of several versions of their program."""

import pytest

from sweepkit.analysis.program_versions import VERSION, versions_sentence

OLD, NEW = {VERSION: "aaa"}, {VERSION: "bbb"}


@pytest.mark.parametrize("facts", [[], [(0, {})], [(0, OLD), (1, OLD)], [(0, {}), (1, NEW)]])
def test_one_version_is_not_worth_a_word(facts):
    assert versions_sentence(facts, best=0) == ""


@pytest.mark.parametrize(("best", "earlier"), [(0, True), (2, False), (3, False), (None, False)])
def test_the_best_run_of_an_earlier_version_is_told(best, earlier):
    sentence = versions_sentence([(2, NEW), (0, OLD), (3, {}), (1, OLD)], best=best)
    assert "aaa" in sentence and "bbb" in sentence and ("best" in sentence) is earlier
