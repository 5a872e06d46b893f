"""The best configuration against the second best as sentences for people. Pure."""

from collections.abc import Mapping, Sequence

from sweepkit.analysis.lead import Lead, Sureness
from sweepkit.analysis.table import Row
from sweepkit.model.configurations import Configuration
from sweepkit.model.numbers import distinct_texts

_LISTED = 6  # parameters in which two configurations differ, spelled out
_IF_ALIKE = ", if all configurations scatter alike"


def lead_sentences(found: Lead, *, confirmed: bool = False) -> list[str]:
    """Return what is known of the best configuration against the second, a finding each.

    Args:
        found: How they stand by the sweep's own runs.
        confirmed: Fresh seeds have sentences more since: how sure the sweep alone could be is left out.
    """
    sentences = [_alone(found)] if found.second is None else [_second(found), *([] if confirmed else _how_sure(found))]
    stopped = [name for name, item in (("best", found.first), ("second", found.second)) if item and item.stopped]
    if stopped:
        which = "Both were" if len(stopped) == 2 else f"The {stopped[0]} was"
        sentences.append(f"{which} stopped early: not a score of a run that ended by itself.")
    return sentences


def verdict(found: Lead) -> str:
    """Return the conclusion in a few words."""
    if found.second is not None and found.difference == 0:
        return "a tie"
    alike = "" if found.alone else _IF_ALIKE
    return {
        Sureness.ALONE: "nothing to compare with",
        Sureness.UNCONFIRMED: "unconfirmed",
        Sureness.WITHIN: "no conclusion: the lead is within what seeds alone explain",
        Sureness.BEYOND: f"better than the second beyond what seeds explain{alike}; how much better is not confirmed",
    }[found.sureness]


def called(item: Configuration[Row]) -> str:
    """Return how to call a configuration: its run, or its runs."""
    rows = item.runs
    if len(rows) == 1:
        return f"run {rows[0].number} ({rows[0].run_id})"
    listed = ", ".join(str(row.number) for row in rows[:8])
    more = f", … {len(rows)} in all" if len(rows) > 8 else ""
    return f"runs {listed}{more}"


def label_of(item: Configuration[Row], confirmed: Mapping[str, str]) -> str:
    """Return what a configuration's score is worth: what its confirmation said, by run id, or that it has none."""
    return next((confirmed[row.run_id] for row in item.runs if row.run_id in confirmed), "unconfirmed")


def differences_text(differs: Mapping[str, tuple[float | str | None, float | str | None]]) -> str:
    """Return in what two configurations differ, the first's value before the second's.

    >>> differences_text({"lr": (0.003, 0.001)})
    'lr (0.003 against 0.001)'
    """
    parts = [f"{name} ({_shown(a)} against {_shown(b)})" for name, (a, b) in list(differs.items())[:_LISTED]]
    if len(differs) > _LISTED:
        parts.append(f"{len(differs) - _LISTED} more")
    return " and ".join([", ".join(parts[:-1]), parts[-1]]) if len(parts) > 1 else "".join(parts)


def _shown(value: float | str | None) -> str:
    """Return a parameter's value for a sentence; "none" where the run does not have the parameter."""
    if value is None:
        return "none"
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def _alone(found: Lead) -> str:
    runs = len(found.first.runs)
    only = "It is the only run with a value" if runs == 1 else f"Its {runs} runs are the only ones with a value"
    return f"{only}: nothing to compare with."


def _second(found: Lead) -> str:
    second = found.second
    assert second is not None
    mean = "mean " if max(len(found.first.runs), len(second.runs)) > 1 else ""
    head = f"The second best is {called(second)} with {mean}{second.value:.5g}"
    if found.difference == 0:
        lead = "a tie"
    else:
        lead = f"the lead is {_lead_and_luck(found)[0]}{_share(found.difference, found.first.value, second.value)}"
    if not found.differs:
        return f"{head}: {lead}."
    alone = " alone" if len(found.differs) == 1 else ""
    return f"{head}: {lead}. The two differ in {differences_text(found.differs)}{alone}."


def _lead_and_luck(found: Lead) -> tuple[str, str]:
    """Return the lead, and the one that luck makes, in digits in which they differ; "" where none is known."""
    if found.luck is None:
        return f"{found.difference:.2g}", ""
    lead, luck = distinct_texts([found.difference, found.luck], digits=2)
    return lead, luck


def _share(difference: float, best: float, second: float) -> str:
    """Return a lead as a share of the second's value, in brackets; "" where zero lies between the two.

    >>> _share(0.02, 0.52, 0.5), _share(1.0, 2.0, 1.0), _share(1.0, -0.5, 0.5)
    (' (4 %)', ' (100 %)', '')
    """
    if best * second <= 0:  # a share of a value near zero says nothing of the lead
        return ""
    percent = 100 * difference / abs(second)
    return f" ({percent:.0f} %)" if percent >= 10 else f" ({percent:.2g} %)"


def _how_sure(found: Lead) -> Sequence[str]:
    if found.sureness is Sureness.UNCONFIRMED:
        return _unconfirmed(found)
    assert found.sd is not None and found.luck is not None
    sd, freedom = found.sd
    luck = _lead_and_luck(found)[1]
    sentences = [
        f"Runs of one configuration scatter with a standard deviation of {sd:.2g} ({freedom} degree"
        f"{'' if freedom == 1 else 's'} of freedom), so seeds alone make a lead of more than {luck} in 1 of "
        "20 sweeps at most."
    ]
    if found.sureness is Sureness.BEYOND:
        sentences.append(
            f"The lead is larger: the best is better than the second beyond what seeds explain{_alike(found)}. Its "
            "score is still the largest of many and flatters it, until fresh seeds confirm it."
        )
    else:
        sentences.append("The lead is no larger: no conclusion, two equal configurations can differ as much by seeds.")
    return sentences


def _alike(found: Lead) -> str:
    """Return the condition under which a lead is beyond the noise."""
    return "" if found.alone else f"{_IF_ALIKE} (by their own spreads these two do not show it)"


def _unconfirmed(found: Lead) -> list[str]:
    assert found.second is not None
    if found.sd is not None:
        return [
            "Unconfirmed: runs of one configuration agree to the last digit, so the seed does not reach the program, "
            "or nothing in it is random; what another seed would do is not known."
        ]
    if found.difference == 0:
        return ["Unconfirmed: no configuration finished with two seeds; another seed may put either first."]
    return [
        "Unconfirmed: no configuration finished with two seeds, so nothing tells this lead from luck.",
        _enough(found),
    ]


def _enough(found: Lead) -> str:
    """Return how far seeds must scatter to make the lead."""
    from sweepkit.stats.top_two import blind_quantile, lead_quantile

    low = found.difference / blind_quantile()
    head = f"Luck alone makes such a lead in 1 of 20 sweeps if seeds scatter with a standard deviation of {low:.2g}"
    if found.configurations == 2:
        return f"{head}, more often if with more."
    high = found.difference / lead_quantile(found.configurations)
    return f"{head} (these two equal, the others worse) to {high:.2g} (all {found.configurations} equal)."
