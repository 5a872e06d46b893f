"""A comparison of models for people and programs: terminal text, Markdown, LaTeX, JSON."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from sweepkit.analysis.budget import Budget, budget_sentences
from sweepkit.model.numbers import how_many
from sweepkit.reports.cells import Cells, as_latex, as_markdown, as_text, folded, latex, latex_packages
from sweepkit.stats.comparison import Comparison, DecidingTest, Pair
from sweepkit.stats.groups import ScoreSummary
from sweepkit.stats.sentences import closing_sentences, digits_of, pair_sentence
from sweepkit.stats.student import Estimate
from sweepkit.stats.words import difference_text, p_text, seeds_text
from sweepkit.text.json_text import json_text, picked

_METHODS = {
    DecidingTest.POOLED: "Student's t, standard deviation pooled over all models",
    DecidingTest.WELCH: "Welch's t",
    DecidingTest.PAIRED: "t over differences paired by seed",
    DecidingTest.TWO_WAY: "two-way t over seeds and examples",
    DecidingTest.EXAMPLES: "t over examples, these checkpoints only",
    DecidingTest.NONE: "nothing tested",
}
_SOURCES = (
    "Holm 1979",
    "Hedges 1981 (g), Steiger & Fouladi 1997 (its interval)",
    "Welch 1947",
    "Schuirmann 1987 (TOST)",
    "Satterthwaite 1946",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class ComparisonReport:
    """Everything that is said of a comparison.

    Args:
        metric: The score's name.
        context: What it was measured on, in short parts: "dev 499 examples", "tokenizer unicode 1".
        comparison: The result.
        budgets: What each model was given; () to say nothing of it.
        warnings: What makes the scores not comparable, or runs not alike; said first.
        notes: What was left out.
        versions: Of what computed it, by package.
        runs: A record of each run, for JSON.
        noun: What is compared: "model", or "group".
    """

    metric: str
    context: tuple[str, ...]
    comparison: Comparison
    budgets: tuple[Budget, ...] = ()
    warnings: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    versions: Mapping[str, str] = field(default_factory=dict)
    runs: tuple[Mapping[str, Any], ...] = ()
    noun: str = "model"


def _headline(report: ComparisonReport) -> str:
    """Return what was measured, on one line."""
    models = [model for model in report.comparison.models if model.n]
    seeds = list(dict.fromkeys(seed for model in models for seed in model.seeds))
    runs = how_many(sum(model.n for model in models), "run")
    shown = ", ".join(seeds[:10]) + (", …" if len(seeds) > 10 else "")
    parts = [f"metric {report.metric}", *report.context, f"{runs}, seeds {shown}" if seeds else runs]
    return " | ".join(parts)


def _model_table(report: ComparisonReport) -> Cells:
    """Return mean, standard deviation, maximum and minimum of each model, and the interval of its mean."""
    digits = digits_of(report.comparison)
    shared = report.comparison.pool
    counts = {model.n for model in report.comparison.models if model.n}
    basis = f"pooled sd {shared.sd:.{digits}f}, df {shared.df}" if shared and len(counts) == 1 else "own sd"

    def number(value: float | None) -> str:
        return "-" if value is None else f"{value:.{digits}f}"

    def interval(model: ScoreSummary) -> str:
        return "-" if model.low is None else f"[{number(model.low)}, {number(model.high)}]"

    return Cells(
        caption=f"{report.metric}, each {report.noun} over its seeds",
        heads=(report.noun, "n", "mean", "std", "max", "min", f"95% CI ({basis})"),
        rows=tuple(
            (m.name, str(m.n), number(m.mean), number(m.sd), number(m.most), number(m.least), interval(m))
            for m in report.comparison.models
        ),
    )


def _pair_table(report: ComparisonReport) -> Cells:
    """Return every pair: difference, interval, p, Holm's p, effect, Welch's p, what is seen, seeds needed, verdict."""
    digits = digits_of(report.comparison)
    return Cells(
        caption=f"{report.metric}, pairs of {report.noun}s, {_METHODS[report.comparison.method]}",
        heads=(
            *("pair", "diff", "95% CI (all pairs)", "p", "p(Holm)", "g [95% CI]", "Welch p(Holm)"),
            *("verdict", "detects", "decides"),
        ),
        rows=tuple(_pair_row(pair, digits) for pair in report.comparison.pairs),
        left=(0, 7),
    )


def _pair_row(pair: Pair, digits: int) -> tuple[str, ...]:
    return (
        f"{pair.first} - {pair.second}",
        difference_text(pair.difference, digits),
        _bounds(pair.estimate, digits, pair.level),
        p_text(None if pair.estimate is None else pair.estimate.p),
        p_text(pair.p_holm),
        _effect(pair),
        p_text(pair.welch_holm),
        pair.verdict,
        "-" if pair.detectable is None else f">= {difference_text(pair.detectable, digits, sign=False)}",
        "-" if pair.noise is None else seeds_text(pair.seeds),
    )


def _bounds(estimate: Estimate | None, digits: int, level: float) -> str:
    if estimate is None:
        return "-"
    low, high = estimate.interval(level)
    return f"[{difference_text(low, digits)},{difference_text(high, digits)}]"


def _effect(pair: Pair) -> str:
    if pair.effect is None:
        return "-"
    low, high = ("?" if bound is None else f"{bound:.1f}" for bound in (pair.effect.low, pair.effect.high))
    return f"{pair.effect.g:.1f} [{low}, {high}]"


def _budget_table(budgets: Sequence[Budget]) -> Cells:
    """Return what each model was given."""
    return Cells(
        caption="What each model was given",
        heads=("model", "steps", "epochs", "trainable weights", "s/run", "tuned"),
        rows=tuple(
            (
                item.model,
                "-" if not item.steps else "-".join(str(n) for n in sorted({item.steps[0], item.steps[-1]})),
                "-" if item.epochs is None else f"{item.epochs:.4g}",
                "-" if item.trainable is None else f"{item.trainable:,}",
                "-" if item.seconds is None else f"{item.seconds:.1f}",
                "not said" if item.sweep is None else item.sweep,
            )
            for item in budgets
        ),
        left=(0, 5),
    )


def _sentences(report: ComparisonReport) -> list[str]:
    """Return every pair in words, then what these seeds can show."""
    pairs = [pair_sentence(pair, report.comparison) + "." for pair in report.comparison.pairs]
    return [*pairs, *_seeds_alone(report.comparison), *closing_sentences(report.comparison)]


def _seeds_alone(comparison: Comparison) -> list[str]:
    """Return the pairs that differ on this dev set, yet not beyond the noise of its examples."""
    if comparison.method is not DecidingTest.TWO_WAY:
        return []
    alpha = comparison.settings.alpha / max(1, comparison.tested)
    found = [
        f"{pair.first} - {pair.second} ({p_text(pair.seeds_only.p)})"
        for pair in comparison.pairs
        if pair.kind.value == "open" and pair.seeds_only is not None and pair.seeds_only.p < alpha
    ]
    if not found:
        return []
    return [
        f"On this dev set the seeds alone would tell apart {', '.join(found)}; "
        f"with {comparison.examples} other examples it could be otherwise."
    ]


def comparison_text(report: ComparisonReport, *, width: int = 100) -> str:
    """Return the whole report for a terminal of `width` columns."""
    parts = [_headline(report)]
    parts += [f"warning: {warning}" for warning in report.warnings]
    parts += ["", as_text(_model_table(report), width=width)]
    if report.comparison.pairs:
        method = f"test: {_METHODS[report.comparison.method]}; Holm over {how_many(report.comparison.tested, 'pair')}"
        parts += ["", method, as_text(_pair_table(report), width=width)]
    said = _sentences(report)
    parts += ["", *said] if said else []
    notes = [*report.notes, *report.comparison.notes]
    parts += ["", *(f"note: {note}" for note in notes)] if notes else []
    if report.budgets:
        parts += ["", as_text(_budget_table(report.budgets), width=width), *budget_sentences(report.budgets)]
    return "\n".join(_folded(part, width) for part in parts)


def _folded(text: str, width: int) -> str:
    """Return a paragraph of words in lines of `width` cells; tables, which have line breaks already, as they are."""
    return text if "\n" in text else "\n".join(folded(text, width, then="  "))


def comparison_markdown(report: ComparisonReport) -> str:
    """Return the report as Markdown."""
    parts = [f"# Comparison by {report.metric}", _headline(report).replace("|", "·")]
    parts += [f"**Warning:** {warning}" for warning in report.warnings]
    parts.append(as_markdown(_model_table(report)))
    if report.comparison.pairs:
        parts.append(
            f"Test: {_METHODS[report.comparison.method]}; Holm over {how_many(report.comparison.tested, 'pair')}."
        )
        parts.append(as_markdown(_pair_table(report)))
    lines = [*_sentences(report), *report.notes, *report.comparison.notes]
    parts.append("\n".join(f"- {line}" for line in lines))
    if report.budgets:
        parts += [as_markdown(_budget_table(report.budgets)), "\n".join(budget_sentences(report.budgets))]
    return "\n\n".join(part for part in parts if part) + "\n"


def comparison_latex(report: ComparisonReport) -> str:
    """Return the tables as LaTeX, the sentences as text below them; its first line says what it must be loaded with."""
    parts = [as_latex(_model_table(report))]
    if report.comparison.pairs:
        parts.append(as_latex(_pair_table(report)))
    if report.budgets:
        parts.append(as_latex(_budget_table(report.budgets)))
    lines = [_headline(report), *report.warnings, *_sentences(report), *report.notes, *report.comparison.notes]
    parts.append("\n\n".join(latex(line) for line in [*lines, *budget_sentences(report.budgets)]))
    text = "\n\n".join(parts)
    return f"{latex_packages(text)}\n{text}\n"


def comparison_json(report: ComparisonReport) -> str:
    """Return every number, at full precision, with the names of the methods and the versions, as JSON."""
    return json_text(comparison_plain(report), indent=2) + "\n"


def comparison_plain(report: ComparisonReport) -> dict[str, Any]:
    """Return the report as values that JSON can hold."""
    comparison = report.comparison
    settings = comparison.settings
    return {
        "metric": report.metric,
        "context": list(report.context),
        "comparable": not report.warnings,
        "warnings": list(report.warnings),
        "method": {"test": comparison.method.value, "name": _METHODS[comparison.method], "sources": list(_SOURCES)},
        "settings": {
            "alpha": settings.alpha,
            "rope": settings.margin,
            **picked(settings, "higher_is_better", "paired", "power"),
        },
        "pooled_sd": None if comparison.pool is None else comparison.pool.sd,
        "pooled_df": None if comparison.pool is None else comparison.pool.df,
        "examples": comparison.examples,
        "models": [_model_plain(model) for model in comparison.models],
        "pairs": [_pair_plain(pair, settings.margin) for pair in comparison.pairs],
        "sentences": _sentences(report),
        "notes": [*report.notes, *comparison.notes],
        "budget": [_budget_plain(item) for item in report.budgets],
        "budget_sentences": budget_sentences(report.budgets),
        "runs": [dict(run) for run in report.runs],
        "versions": dict(report.versions),
    }


def _model_plain(model: ScoreSummary) -> dict[str, Any]:
    return {
        **picked(model, "name", "n", "left_out", "seeds", "mean"),
        "std": model.sd,
        "max": model.most,
        "min": model.least,
        "ci95": None if model.low is None else [model.low, model.high],
    }


def _pair_plain(pair: Pair, margin: float) -> dict[str, Any]:
    return {
        **picked(pair, "first", "second", "difference"),
        **_estimate_plain(pair.estimate),
        "p_holm": pair.p_holm,
        "interval_all_pairs": None if pair.estimate is None else list(pair.estimate.interval(pair.level)),
        "p_equal_holm": pair.p_equal,
        "chances_above_within_below_rope": None if pair.estimate is None else list(pair.estimate.shares(margin)),
        "hedges_g": None if pair.effect is None else pair.effect.g,
        "hedges_g_ci95": None if pair.effect is None else [pair.effect.low, pair.effect.high],
        "seeds_only": _estimate_plain(pair.seeds_only),
        "welch": {**_estimate_plain(pair.welch), "p_holm": pair.welch_holm},
        "detectable": pair.detectable,
        "seeds_to_decide": pair.seeds,
        **picked(pair, "seeds_from", "seeds_to"),
        **picked(pair, "seed_error", "example_error"),
        "conclusion": pair.kind.value,
        "verdict": pair.verdict,
    }


def _estimate_plain(estimate: Estimate | None) -> dict[str, Any]:
    if estimate is None:
        return {"t": None, "df": None, "standard_error": None, "p": None, "ci95": None}
    return {
        **picked(estimate, "t", "df"),
        "standard_error": estimate.error,
        "p": estimate.p,
        "ci95": list(estimate.interval()),
    }


def _budget_plain(item: Budget) -> dict[str, Any]:
    return {
        **picked(item, "model", "steps", "epochs"),
        "trainable_parameters": item.trainable,
        "seconds_per_run": item.seconds,
        "tuned_by": item.sweep,
        "tuning_runs": item.tuning_runs,
    }
