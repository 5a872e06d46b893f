"""How a sweep was run, in the sentences of a methods section: true numbers only, read from the sweep and its runs."""

from collections import Counter
from collections.abc import Mapping, Sequence

from sweepkit.analysis.importance_result import Importance
from sweepkit.analysis.lead import lead
from sweepkit.analysis.summary import span
from sweepkit.analysis.table import Row, RunTable
from sweepkit.model.distributions import Distribution
from sweepkit.model.metric import LAST, mean_of_last
from sweepkit.model.numbers import how_many
from sweepkit.model.records import MEAN_OVER_FACT, SEED_FACT
from sweepkit.model.runs import RunState
from sweepkit.model.space import Parameter
from sweepkit.reports.resources import cut_sentences
from sweepkit.reports.table import short
from sweepkit.sweep_config.stopping_section import STOPPING_KEYS
from sweepkit.sweep_config.sweep import EarlyTerminate, SweepSpec

_VALUES = 12  # of a parameter, listed
_SEEDS = 8
_NO_VERSION = ("git_commit", "code_hash", "host", "device")


def methods(
    spec: SweepSpec,
    table: RunTable,
    importance: Importance | None = None,
    *,
    seed: int | None = None,
    points: int | None = None,
    versions: Mapping[str, str] | None = None,
    confirmed: bool = False,
) -> list[str]:
    """Return the sentences: space, budget, engine, stopping, seeds, test, importance, versions.

    Args:
        spec: The sweep.
        table: Its runs.
        importance: How importance was measured, None when it was not.
        seed: Of the search, when it is known.
        points: Of the grid, None where there is none.
        confirmed: Its best were run again with fresh seeds, and the report says what came of it.
        versions: Name → version of what it ran with; host, device and commit among them are passed over.
    """
    words = [_space(spec), _engine(spec, table, seed), _budget(spec, table, points), *_stopping(spec, table)]
    words += [_value(table), _seeds(table), *_cut(table), _test(table, confirmed=confirmed)]
    if importance is not None and importance.estimator == "forest" and importance.r2 is not None:
        words.append(
            "Importance: random forest (200 trees, leaves of at least 3) on one group of columns per parameter, "
            "grouped out-of-bag permutation as share of the variance; whiskers: ± standard error by 30 refits "
            "on 63.2 % of the configurations without replacement; noise floor: 99 % quantile of shuffled shadow "
            "parameters."
        )
    if importance is not None and importance.estimator == "anova":
        words.append(
            "Importance: Gaussian process of zero-mean kernels and their products, total indices over the declared "
            f"ranges, from {importance.basis}; clear: with the parameter the runs are predicted from those before them "
            "so much better that it happens to a parameter without effect in 1 of 50 cases at most (e-value of 50)."
        )
    listed = [f"{name} {version}" for name, version in (versions or {}).items() if name not in _NO_VERSION]
    if listed:
        words.append(f"Versions: {', '.join(listed)}.")
    return [sentence for sentence in words if sentence]


def _cut(table: RunTable) -> list[str]:
    """Return what of the data no run saw, a sentence each."""
    return [f"{sentence[:1].upper()}{sentence[1:]}." for sentence in cut_sentences([row.facts for row in table.rows])]


def _space(spec: SweepSpec) -> str:
    parameters = [item for item in spec.space.parameters if item.distribution.support_size() != 1]
    fixed = [item for item in spec.space.parameters if item.distribution.support_size() == 1]
    if not parameters and not fixed:
        return "Search space: suggested by a function, run by run." if spec.extensions.search_space else ""
    noun = "parameter" if len(parameters) == 1 else "parameters"
    words = f"Search space of {len(parameters)} {noun}: {'; '.join(_parameter(item) for item in parameters)}."
    if fixed:
        words += f" Fixed: {'; '.join(f'{item.name} = {short(item.distribution.support_value(0))}' for item in fixed)}."
    if spec.space.conditions:
        names = ", ".join(".".join(condition.path) for condition in spec.space.conditions)
        words += f" Only under conditions: {names}."
    return words


def _parameter(parameter: Parameter) -> str:
    given = parameter.distribution
    if given.values:
        shown: Sequence[object] = given.values[:_VALUES]
        more = f", … {len(given.values)} in all" if len(given.values) > _VALUES else ""
        weights = " with given probabilities" if given.probabilities is not None else ""
        return f"{parameter.name} in {{{', '.join(short(value) for value in shown)}{more}}}{weights}"
    return f"{parameter.name} {_range(given)}"


def _range(given: Distribution) -> str:
    kind = given.kind.value.removeprefix("q_").removesuffix("_values").replace("_", "-")
    step = f" in steps of {short(given.q)}" if given.q is not None else ""
    bounds = given.bounds()
    if bounds is None:
        return f"{kind} (mu {short(given.mu)}, sigma {short(given.sigma)}){step}"
    return f"{kind} in [{short(bounds[0])}, {short(bounds[1])}]{step}"


def _engine(spec: SweepSpec, table: RunTable, seed: int | None) -> str:
    goals = " and ".join(f"{metric.name} ({metric.goal.value}d)" for metric in table.metrics) or "no metric"
    engine = table.method or spec.method.value
    seeded = f", seed {seed}" if seed is not None else ""
    words = f"Engine: {engine} (method {spec.method.value}){seeded}; optimized: {goals}."
    if spec.extensions.prior_runs:
        words += f" It was told runs of {', '.join(spec.extensions.prior_runs)} first."
    return words


def _budget(spec: SweepSpec, table: RunTable, points: int | None) -> str:
    """Return what was allowed and what was used."""
    allowed = []
    if spec.run_cap is not None:
        allowed.append(f"at most {spec.run_cap} runs")
    if points is not None:
        allowed.append(f"a grid of {points} points")
    if spec.extensions.time_budget_s is not None:
        allowed.append(f"no run begun after {span(spec.extensions.time_budget_s)} of a call")
    for metric in table.metrics:
        if metric.target is not None:
            allowed.append(f"until {metric.name} reaches {short(metric.target)}")
    counts = Counter(row.state for row in table.rows)
    states = ", ".join(f"{counts[state]} {state.value}" for state in RunState if counts[state])
    attempts = sum(row.attempts for row in table.rows)
    again = f" in {attempts} attempts" if attempts > len(table.rows) else ""
    took = sum(row.duration_s for row in table.rows if row.duration_s is not None)
    time = f"; {span(took)} of running time" if took else ""
    runs = f"{len(table.rows)} run{'' if len(table.rows) == 1 else 's'}"
    used = f"{runs}{again}{f' ({states})' if states else ''}{time}"
    return f"Budget: {', '.join(allowed) or 'not limited'}; used: {used}."


def _stopping(spec: SweepSpec, table: RunTable) -> list[str]:
    """Return the rule with its settings, and what it did."""
    rule = spec.early_terminate or spec.extensions.early_terminate
    if not table.metrics:
        return ["Stopping: no rule, for the sweep names no metric."]
    words = "Stopping: no rule" if rule is None or rule.type == "none" else f"Stopping: {_rule(rule)}"
    stopped = sum(row.state is RunState.STOPPED for row in table.rows)
    diverged = sum(row.state is RunState.DIVERGED for row in table.rows)
    if rule is not None and rule.type == "none":
        return [f"{words}."]
    ends = f"; it ended {how_many(stopped, 'run')}" if rule is not None else ""
    if not spec.program:  # read from elsewhere: what watched its runs is not known
        return [f"{how_many(stopped, 'run')} stopped early."] if stopped else []
    return [f"{words}{ends}. Runs whose metric diverges are ended at once: {diverged}."]


def _rule(rule: EarlyTerminate) -> str:
    settings = [
        f"{name} {_rule(value) if isinstance(value, EarlyTerminate) else short(value)}"
        for name in STOPPING_KEYS.get(rule.type, ())
        if name != "called" and (value := getattr(rule, name)) is not None
    ]
    name = rule.called or rule.type
    return f"{name} ({', '.join(settings)})" if settings else name


def _value(table: RunTable) -> str:
    """Return what a run's value is of its reports."""
    if table.metric is None:
        return ""
    if len(table.metrics) > 1:
        return "Value of a run: its last report of all objectives together."
    count = mean_of_last(table.metric.value)
    if not count and {(row.counted, row.value == row.last) for row in table.rows if row.counts} == {(LAST, True)}:
        told = [told for row in table.rows if row.counts and isinstance(told := row.facts.get("facts"), Mapping)]
        parts = {str(facts.get(MEAN_OVER_FACT, "")) for facts in told}
        over = f", the mean over its {parts.pop()}s" if len(parts) == 1 and "" not in parts else ""
        return f"Value of a run: its last report of {table.metric.name}{over}, as its program says."
    words = {0: "the best of its reports", 1: "its last report"}.get(
        count or 0, f"the mean of its last {count} reports"
    )
    own = "" if count else ", unless its program says another (its reports add up, or define_metric's summary)"
    return f"Value of a run: {words} of {table.metric.name}{own}; W&B's table shows the last one (`sweepkit.value`)."


def _seeds(table: RunTable) -> str:
    """Return how many runs each configuration had, and with which seeds they trained as far as that is known."""
    found = table.configurations()
    if not found:
        return ""
    counts = [len(item.runs) for item in found]
    repeated = sum(count > 1 for count in counts)
    if not repeated:
        words = f"Seeds: one run for each of {len(found)} configurations" if len(found) > 1 else "Seeds: one run"
    else:
        words = f"Seeds: {repeated} of {len(found)} configurations were run more than once, up to {max(counts)} times"
    seeds = sorted({row.seed for row in table.rows if row.seed is not None})
    if seeds:
        words += f"; the program was given SEED {_listed(seeds)}"
    elif own := sorted({seed for row in table.rows if (seed := _own_seed(row)) is not None}):
        words += f"; the program trained with seed {_listed(own)}"
    return f"{words}."


def _own_seed(row: Row) -> int | None:
    """Return the seed that the program says it trained with; None where it says none."""
    facts = row.facts.get("facts")
    seed = facts.get(SEED_FACT) if isinstance(facts, Mapping) else None
    return seed if isinstance(seed, int) and not isinstance(seed, bool) else None


def _listed(seeds: Sequence[int]) -> str:
    return ", ".join(map(str, seeds[:_SEEDS])) + (", …" if len(seeds) > _SEEDS else "")


def _test(table: RunTable, *, confirmed: bool) -> str:
    """Return by which test the best was compared with the second."""
    found = lead(table)
    if found is None or found.second is None:
        return ""
    if found.luck is None and confirmed:
        return "Test: by fresh seeds, see Confirmation; among the sweep's own runs no configuration had several seeds."
    if found.luck is None:
        return (
            "Test: none. Without a configuration that finished with several seeds no difference between "
            "configurations can be tested; the scores are those that the search selected by."
        )
    return (
        "Test: Student's t of the best configuration against the second (two-sided, 5 %), with the standard deviation "
        "pooled over all configurations with several runs; not corrected for their number, since a selected best "
        "against the second needs no correction (Gutmann and Maymin 1987)."
    )
