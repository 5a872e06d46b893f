"""What an `Importance` says, in sentences that a person can act on. Pure."""

from collections.abc import Mapping

from sweepkit.analysis.importance_result import FEWEST, FEWEST_PER_PARAMETER, LEAST_R2, Gate, Importance, Share, Verdict
from sweepkit.analysis.table import RunTable
from sweepkit.model.numbers import how_many

_NAMED = 5


def sentences(result: Importance, table: RunTable, *, note: str = "") -> list[str]:
    """Return the findings, the most important first, then what limits them."""
    lines = [_opening(result)]
    if result.gate is Gate.OPEN and any(share.verdict is not Verdict.UNJUDGED for share in result.shares):
        lines.extend(_verdicts(result))
        lines.extend(_interactions(result))
    lines.extend(_together(result))
    lines.extend(_limits(result, table))
    if note:
        lines.append(note + ".")
    return lines


def _opening(result: Importance) -> str:

    count = len(result.shares)
    if result.gate is Gate.NOTHING:
        if not result.n:
            return f"No run finished with a value of {result.metric}: there is nothing to explain."
        if result.n < 3:
            return f"Only {how_many(result.n, 'configuration')} finished: importance needs several."
        over = how_many(result.n, "configuration")
        return f"Nothing to explain: over {over} {result.metric} or every parameter is the same."
    if result.gate is Gate.TOO_FEW:
        need = max(FEWEST, FEWEST_PER_PARAMETER * count)
        return (
            f"Too few runs: {how_many(result.n, 'configuration')} finished, {how_many(count, 'parameter')} "
            f"need{'s' if count == 1 else ''} at least {need}. Shown is the "
            "share of the ranks that bins of each parameter explain, one at a time, without a model and without "
            "a verdict."
        )
    if result.gate is Gate.NO_MODEL:
        return (
            f"The model does not predict {result.metric} for configurations that it has not seen (R² "
            f"{result.r2:.2f}, below {LEAST_R2:g}): the bars are not to be trusted, and no parameter is told "
            "apart from noise."
        )
    r2 = "" if result.r2 is None else f"; it predicts unseen configurations with R² {result.r2:.2f}"
    if result.estimator == "forest":
        return (
            f"Share of the variance of {result.metric} that a random forest attributes to each parameter, alone "
            "or with "
            f"others, over {how_many(result.n, 'configuration')}{r2}."
        )
    if result.estimator == "anova":
        return (
            f"Share of the variance of {result.metric} over the whole ranges that a Gaussian process attributes to "
            f"each parameter, alone or with others, from {result.basis}{_chosen(result)}{r2}."
        )
    over = how_many(result.n, "configuration")
    return f"Importance for {result.metric} by {result.estimator}, over {over}{r2}; no bars."


def _chosen(result: Importance) -> str:
    """Return which runs the process looked at where these are not all."""
    return "" if result.looked is None else f" (the first {result.looked // 2} and evenly spaced later ones)"


def _verdicts(result: Importance) -> list[str]:

    lines = []
    clear = [share for share in result.shares if share.verdict is Verdict.CLEAR]
    weak = [share for share in result.shares if share.verdict is Verdict.WEAK]
    none = [share for share in result.shares if share.verdict is Verdict.NONE]
    if clear:
        bars = any(share.se is not None for share in clear)
        shown = ", ".join(f"{s.name} {_percent(s.value)}{_error(s)}" for s in clear)
        lines.append(f"Clear: {shown}{' (± standard error)' if bars else ''}.")
    if both := [share.name for share in result.shares if share.verdict is Verdict.TOGETHER]:
        lines.append(f"Clear together, but not which of them: {', '.join(both)}.")
    if weak:
        lines.append(f"Weak, above what noise reaches: {', '.join(f'{s.name} ({_percent(s.value)})' for s in weak)}.")
    if none:
        names = ", ".join(share.name for share in none[:_NAMED])
        more = f" and {len(none) - _NAMED} more" if len(none) > _NAMED else ""
        lines.append(f"Not distinguishable from noise: {names}{more}.")
    if not clear and not both:
        lines.append("No parameter is clear: more runs, or wider ranges, would be needed to tell.")
    return lines


def _interactions(result: Importance) -> list[str]:
    lines = []
    for pair in result.interactions:
        if not pair.clear:
            continue
        size = f"{_percent(abs(pair.value))} of the variance"
        if pair.value < 0:
            lines.append(f"{pair.a} and {pair.b} interact: the best value of one depends on the other ({size}).")
        else:
            lines.append(f"{pair.a} and {pair.b} stand in for each other ({size}).")
    return lines


def _together(result: Importance) -> list[str]:
    return [
        f"{pair.a} and {pair.b} went together (Spearman {pair.rho:+.2f}): their shares cannot be told apart"
        f"{'' if pair.value is None else f'; shuffled together they account for {_percent(pair.value)}'}."
        for pair in result.together
    ]


def _limits(result: Importance, table: RunTable) -> list[str]:
    lines = []
    if result.left_out:
        shown = ", ".join(f"{count} {why}" for why, count in result.left_out.items())
        lines.append(f"Left out, for they have no value of a whole run: {shown}.")
    stopped = result.left_out.get("stopped early", 0)
    if stopped > result.runs / 3 and result.n:
        lines.append(
            f"{stopped} of {stopped + result.runs} runs were stopped early: what made them bad enough to be "
            "stopped is not "
            "seen here."
        )
    if result.dropped:
        lines.append(f"Not considered: {_dropped(result.dropped)}.")
    if result.runs > result.n:
        how = "each run counts by itself" if result.estimator == "anova" else "runs of one are averaged"
        lines.append(f"{how_many(result.runs, 'run')} of {how_many(result.n, 'configuration')}: {how}.")
    if table.method and not table.exchangeable and result.n:
        lines.append(_adaptive(result, table.method))
    elif not table.method and result.estimator == "forest" and result.gate is Gate.OPEN:
        lines.append("Verdicts hold if the values were drawn at random or from a grid, not by an engine that learns.")
    return lines


def _adaptive(result: Importance, method: str) -> str:
    """Return what it means that an engine chose the runs."""
    if result.estimator != "anova":
        return f"The engine ({method}) chose where to look: this is importance inside the region that it visited."
    return (
        f"The engine ({method}) chose the runs by what it had seen: a parameter is clear only if with it each next run "
        "is predicted better than without it. A value that was seldom tried has had little chance to show."
    )


def _dropped(dropped: Mapping[str, str]) -> str:
    by_reason: dict[str, list[str]] = {}
    for name, why in dropped.items():
        by_reason.setdefault(why, []).append(name)
    return "; ".join(f"{', '.join(names)} ({why})" for why, names in by_reason.items())


def _error(share: Share) -> str:
    return "" if share.se is None else f" ± {100 * share.se:.0f} %"


def _percent(share: float | None) -> str:
    return "?" if share is None else f"{100 * share:.0f} %"
