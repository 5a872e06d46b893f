"""What a comparison says in sentences: each pair, what could not be tested and why, what more seeds would show."""

from sweepkit.model.numbers import how_many
from sweepkit.stats.comparison import Comparison, Pair, doubted
from sweepkit.stats.power import seeds_needed
from sweepkit.stats.words import difference_text, digits_for, gap_text, margin_text, p_said, seeds_text


def digits_of(comparison: Comparison) -> int:
    """Return the decimals of its numbers: two digits of the noise between seeds."""
    return digits_for(None if comparison.pool is None else comparison.pool.sd)


def pair_sentence(pair: Pair, comparison: Comparison) -> str:
    """Return what is concluded of a pair, and why, in one sentence."""
    digits = digits_of(comparison)
    names = f"{pair.first} and {pair.second}"
    gap = gap_text(abs(pair.difference), digits)
    if pair.estimate is None or pair.p_holm is None:
        return f"{names}: not tested, {_why_untested(pair, comparison)}; the means differ by {gap}"
    low, high = _oriented(pair)
    bounds = f"[{difference_text(low, digits, sign=False)}, {difference_text(high, digits, sign=False)}]"
    wide = "95 % interval" if comparison.tested < 2 else "interval of 95 % for all pairs"
    by = f"by {gap}, {wide} {bounds}, Holm {p_said(pair.p_holm)}"
    margin = margin_text(comparison.settings.margin)
    by_welch = f"Holm {p_said(1.0 if pair.welch_holm is None else pair.welch_holm)}"
    doubt = f" if all scatter alike, else {by_welch} (Welch)" if doubted(pair, comparison.settings) else ""
    sentence = {
        "better": f"{pair.first} is better than {pair.second} {by}",
        "better if sd equal": f"{names}: better only if all scatter alike (Welch does not agree, {by_welch}): "
        f"they differ {by}",
        "negligible": f"{pair.first} is better than {pair.second}, but by less than {margin}: {by[3:]}",
        "equal": f"{names} are equal within {margin}: {by[3:]}",
        "open": f"{names}: no conclusion, they differ {by}{doubt}",
    }[pair.kind.value]
    return sentence + _more(pair, comparison)


def _oriented(pair: Pair) -> tuple[float, float]:
    """Return the interval of "first is better by", whatever the direction of the score."""
    assert pair.estimate is not None
    low, high = pair.estimate.interval(pair.level)
    return (low, high) if pair.difference >= 0 else (-high, -low)


def _more(pair: Pair, comparison: Comparison) -> str:
    """Return how many seeds would decide an open pair."""
    if pair.kind.value != "open" or pair.noise is None:
        return ""
    settings = comparison.settings
    if abs(pair.difference) >= settings.margin:
        if pair.seeds is None:
            return f"; {_no_number(pair)} would show a difference of this size"
        return f"; {seeds_text(pair.seeds)} each would show a difference of this size{_range(pair)}"
    if pair.seeds is None:
        return f"; {_no_number(pair)} would show them equal within {margin_text(settings.margin)}"
    return f"; {seeds_text(pair.seeds)} each would show them equal within {margin_text(settings.margin)}, if they are"


def _range(pair: Pair) -> str:
    """Return how far the number of seeds can be off, by what is known of the difference."""
    if pair.seeds_from is None or pair.seeds_from == pair.seeds:
        return ""
    if pair.seeds_to is None:
        return f" ({pair.seeds_from} or any number more, for its size is hardly known)"
    return f" ({pair.seeds_from} to {pair.seeds_to}, by how well its size is known)"


def _no_number(pair: Pair) -> str:
    """Return what is needed where 1000 seeds are too few."""
    if pair.noise is not None and pair.noise.fixed > 0:
        return "not seeds but only more examples"
    return "only more than 1000 seeds each"


def _why_untested(pair: Pair, comparison: Comparison) -> str:
    counts = {model.name: model.n for model in comparison.models}
    if min(counts[pair.first], counts[pair.second]) < 2:
        return "a test needs two seeds of each"
    if comparison.settings.paired:
        return "the differences by seed do not scatter, or fewer than two seeds have both scores"
    return "the scores do not scatter, so the noise is unknown"


def closing_sentences(comparison: Comparison) -> list[str]:
    """Return what these seeds can show, what more would, and what the test does not count."""
    said = [_what_can_be_seen(comparison)] if comparison.tested else []
    return [item for item in (*said, _what_is_counted(comparison)) if item]


def _what_can_be_seen(comparison: Comparison) -> str:
    tested = [pair for pair in comparison.pairs if pair.detectable is not None]
    digits = digits_of(comparison)
    least = min(pair.detectable for pair in tested if pair.detectable is not None)
    most = max(pair.detectable for pair in tested if pair.detectable is not None)
    low, high = (difference_text(value, digits, sign=False) for value in (least, most))
    counts = sorted({model.n for model in comparison.models if model.n})
    shown = how_many(counts[0], "seed") if len(counts) == 1 else f"{counts[0]} to {counts[-1]} seeds"
    settings = comparison.settings
    size = f">= {low}" if low == high else f">= {low} to {high}, by pair"
    text = f"{shown} can detect {size} ({settings.power:.0%} power, {how_many(len(tested), 'pair')})"
    worst = max(tested, key=lambda pair: pair.detectable or 0.0)
    if worst.noise is None:
        return text + "."
    alpha = settings.alpha / len(tested)
    for size_wanted in _sizes(settings.margin, most):
        needed = seeds_needed(size_wanted, worst.noise, alpha=alpha, wanted=settings.power)
        if needed is None:
            return f"{text}; {_no_number(worst)} would show {margin_text(size_wanted)[1:]}."
        text += f"{',' if 'needs' in text else ';'} {margin_text(size_wanted)[1:]} needs {needed}"
        text += "" if "each" in text else " seeds each"
    return text + "."


def _sizes(margin: float, seen: float) -> list[float]:
    """Return the differences worth asking for that are not seen yet."""
    return [size for size in (2 * margin, margin) if 0 < size < seen]


def _what_is_counted(comparison: Comparison) -> str:
    method = comparison.method.value
    if method == "two-way":
        pairs = [pair for pair in comparison.pairs if pair.example_error is not None]
        worst = max((pair.example_error or 0.0 for pair in pairs), default=0.0)
        digits = digits_of(comparison)
        return (
            f"Noise of seeds and of the {comparison.examples} examples is counted (examples: a standard error of up to "
            f"{difference_text(worst, digits, sign=False)} for a pair)."
        )
    if method == "examples":
        return (
            "One seed each: this holds for these checkpoints only. Two equal models trained once differ this much "
            "in 12 of 100 cases and not 5, by the luck of their seeds."
        )
    if method == "none":
        return ""
    return (
        "Valid for this dev set only: without every example's score the noise of the choice of examples is not counted."
    )
