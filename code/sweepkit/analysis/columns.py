"""What the columns of a foreign table are: parameters, results, or bookkeeping; and which way a metric is better. Pure.

Sources: the column names of W&B's CSV export and API, of MLflow's CSV export and `search_runs`, of Optuna's
`trials_dataframe`, of optuna-dashboard's CSV, of Ray Tune's `get_dataframe`.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from sweepkit.model.metric import Goal

_PREFIX = re.compile(r"^(?:(?:params?|config|hparams?|parameters?|hyperparameters?)[._/]|Param )", re.IGNORECASE)
# What a tool writes of a run beside its parameters and results.
_BOOKKEEPING = re.compile(
    r"^(|number|state|status|trial_status|상태|비고|메모|created|created_at|start|end|datetime_.*|timestamp|_timestamp|user|username|tags?|notes?|"
    r"sweep|group|host|hostname|reason|attempts|rank|(user|system)_attrs?_.*|userattribute .*|"
    r"intermediate_values|github|git.*|agent|updated|end[ _]time|start[ _]time|description|commit|job_?type|job type|"
    r"unnamed: \d+|index|run_?id|run id|id|trial_?id|name|run|run_?name|trial|source type|source name|version|models|"
    r"experiment_?id|experiment_?tag|artifact_uri|tags\..*|logdir|node_ip|pid|date|done|trainable|checkpoint.*|"
    r"no\.?|#|comments?|remarks?|elapsed.*|wall_?time|time|author|owner|작성자|담당자?|이름|번호|순번|"
    r"실험(명| ?이름| ?번호)?|날짜|일시|설명|(소요|걸린|학습|실행) ?시간.*|시작.*|종료.*|"
    r"duration|duration_s|_?runtime|time_total_s|time_this_iter_s|iterations?|iterations_since_restore|"
    r"training_iteration|timesteps.*|time_since_restore|warmup_time|url|path|project|entity|output_dir|seed_order)$",
    re.IGNORECASE,
)
_RESULT_PREFIX = re.compile(
    r"^(best|last|metrics?|objectives?|summary|values?)[._]|^(eval|val|valid|validation|train|test|dev|best|final|"
    r"summary|metrics?|perf)/|^values?(_\d+)?$|^_",
    re.IGNORECASE,
)
# Words in the name of a result; a name that says how something is set has one of _SETTING.
_RESULTS = frozenset(
    "loss losses acc accuracy auc auroc roc f1 precision recall rouge rouge1 rouge2 rougel rougelsum bleu chrf meteor "
    "bertscore perplexity ppl wer cer mse mae rmse mape r2 score scores map ndcg mrr iou dice em psnr ssim fid elbo "
    "likelihood nll reward return error runtime throughput samples second step epoch flos memory latency norm".split()
)
_ALONE = frozenset("step epoch second samples memory norm return map em error runtime".split())  # results alone only
_WITH = frozenset(
    "global grad per samples steps second total peak max_memory test val valid eval train dev "
    "mean median squared absolute root neg negative".split()
)
_SETTING = frozenset(
    "type fn function name weight weights coef coefficient lambda smoothing scale scaling alpha beta gamma size steps "
    "epochs warmup batch num max min lr rate decay strategy threshold margin target clip clipping ratio split file "
    "data path interval freq frequency every beams seed".split()
)
_MEASURED = ("val", "valid", "validation", "eval")  # the first word of what was measured on held-out data
_KOREAN = ("손실", "정확도", "점수", "오차", "성능", "오류율", "재현율", "정밀도")
_KOREAN_LOWER = ("손실", "오차", "오류율")
_LOWER = frozenset("loss losses perplexity ppl error err wer cer mse mae rmse mape nll fid latency runtime".split())
_LOWER_NAMES = ("repetition_rate",)
_NEGATIVE = ("neg", "negative", "minus")  # before the name of a loss: neg_mean_squared_error, as scikit-learn scores
_UNSIGNED = frozenset("std stdev variance gap drop diff difference delta change".split())  # of a metric, none itself
_RATES = frozenset("error success hit win failure repetition match".split())  # measured, unlike a learning rate
_HIGHER = frozenset(
    "acc accuracy auc auroc f1 precision recall rouge rouge1 rouge2 rougel rougelsum bleu chrf meteor bertscore r2 "
    "score ndcg mrr iou dice psnr ssim reward likelihood throughput coverage".split()
)


def _tokens(name: str) -> list[str]:
    """Return the words of a column's name, in lower case.

    >>> _tokens("eval/rougeL_f1"), _tokens("valLoss"), _tokens("ROUGE-L")
    (['eval', 'rougel', 'f1'], ['val', 'loss'], ['rouge', 'l'])
    """
    spaced = re.sub(r"([a-z])([A-Z])(?=[a-z])", r"\1 \2", name)
    return [word.lower() for word in re.split(r"[^0-9A-Za-z가-힣]+", spaced) if word]


def bare(name: str) -> str:
    """Return a parameter's name without the prefix of its tool.

    >>> bare("params_lr"), bare("config/optimizer"), bare("Param lr"), bare("lr")
    ('lr', 'optimizer', 'lr', 'lr')
    """
    return _PREFIX.sub("", name)


_METRIC_PREFIXES = (
    "best.",
    "last.",
    "metrics.",
    "summary.",
    "objective.",
    "values_",
    "eval/",
    "eval_",
    "best.eval/",
    "last.eval/",
    "metrics.eval/",
)


def column_of(headers: Sequence[str], name: str) -> str | None:
    """Return the column that a name on a command line means, None when it is none or more than one.

    That is: the one that is called so; the metric of that name behind a tool's prefix; the parameter of that name
    behind one; the one that is called so but for its unit, `score (%)`; then the same without regard to capitals.

    >>> headers = ["Param lr", "Value", "metrics.loss"]
    >>> [column_of(headers, name) for name in ("lr", "value", "loss", "gpu")]
    ['Param lr', 'Value', 'metrics.loss', None]
    """
    for same in (str, str.lower):
        wanted = same(name)
        for meant in (wanted, *(f"{prefix}{wanted}" for prefix in _METRIC_PREFIXES)):
            if found := [head for head in headers if same(head) == meant]:
                return found[0] if len(found) == 1 else None
        for short in (bare, _without_unit):
            if found := [head for head in headers if same(short(head)) == wanted]:
                return found[0] if len(found) == 1 else None
    return None


def _without_unit(name: str) -> str:
    return re.sub(r"\s*(\([^()]*\)|\[[^\[\]]*\])$", "", name)


def is_bookkeeping(name: str) -> bool:
    """Return whether a column says how a run was made rather than what it was or came to."""
    return bool(_BOOKKEEPING.match(name))


def is_result(name: str) -> bool:
    """Return whether a column's name is one of a result: a metric, a loss, a rate of progress.

    >>> [is_result(name) for name in ("train_loss", "eval/runtime", "epoch", "num_epochs", "loss_type", "dropout")]
    [True, True, True, False, False, False]
    """
    if _RESULT_PREFIX.match(name):
        return True
    words = _tokens(name)
    if words[-1:] == ["rate"] and set(words) & _RATES:
        return True
    if set(words) & _SETTING and not {"per"} & set(words):
        return False
    if words[:1] and words[0] in _MEASURED and len(words) > 1 or any(word in name for word in _KOREAN):
        return True
    found = [word for word in words if word in _RESULTS or word.startswith("rouge")]
    return any(word not in _ALONE or set(words) <= _ALONE | _WITH for word in found)


def direction_of(name: str) -> Goal | None:
    """Return which way a metric of this name is better, None when the name does not say.

    >>> direction_of("eval/loss"), direction_of("rougeL"), direction_of("value"), direction_of("word_error_rate")
    (<Goal.MINIMIZE: 'minimize'>, <Goal.MAXIMIZE: 'maximize'>, None, <Goal.MINIMIZE: 'minimize'>)
    >>> direction_of("neg_mean_squared_error"), direction_of("negative_log_likelihood"), direction_of("accuracy_drop")
    (<Goal.MAXIMIZE: 'maximize'>, <Goal.MINIMIZE: 'minimize'>, None)
    """
    words = _tokens(name)
    if set(words) & _UNSIGNED:
        return None
    at = next((place for place, word in enumerate(words) if word in _NEGATIVE), None)
    if at is None:
        return _plain_direction(name, words)
    plain = _plain_direction("_".join(words[at + 1 :]), words[at + 1 :])
    return None if plain is None else Goal.MINIMIZE if plain is Goal.MAXIMIZE else Goal.MAXIMIZE


def _plain_direction(name: str, words: Sequence[str]) -> Goal | None:
    if set(words) & _LOWER or name.endswith(_LOWER_NAMES) or any(word in name for word in _KOREAN_LOWER):
        return Goal.MINIMIZE
    if any(word in _HIGHER or word.startswith("rouge") for word in words) or any(word in name for word in _KOREAN):
        return Goal.MAXIMIZE
    return None


@dataclass(frozen=True, slots=True, kw_only=True)
class Roles:
    """What each column of a table was taken for.

    Args:
        metric: The column that was optimized.
        parameters: (column, parameter's name), in the table's order.
        results: Columns of other results.
        bookkeeping: The rest.
    """

    metric: str
    parameters: tuple[tuple[str, str], ...]
    results: tuple[str, ...] = ()
    bookkeeping: tuple[str, ...] = ()

    def sentence(self) -> str:
        """Return what was taken as what, on one line."""
        parts = [f"metric {self.metric}", f"parameters {', '.join(key for key, _ in self.parameters)}"]
        parts += [f"results {', '.join(self.results)}"] if self.results else []
        parts += [f"left aside {', '.join(self.bookkeeping)}"] if self.bookkeeping else []
        return f"columns: {'; '.join(parts)}"


def assign(
    headers: Sequence[str], metric: str, related: Mapping[str, float], unique: Sequence[str] = ()
) -> tuple[Roles, tuple[str, ...]]:
    """Return what the columns are, by their names, and those in doubt: parameters by name that follow the metric.

    Args:
        headers: All columns.
        metric: Which was optimized.
        related: How closely a numeric column goes with the metric, |correlation| in [0, 1].
        unique: Columns of texts that are another one in each row: they name the runs.
    """
    others = [key for key in headers if key != metric]
    prefixed = [key for key in others if _PREFIX.match(key)]
    if prefixed:
        found = prefixed
        doubtful: tuple[str, ...] = ()
    else:
        found = [key for key in others if not is_bookkeeping(key) and not is_result(key) and key not in unique]
        doubtful = tuple(key for key in found if related.get(key, 0.0) > _NEAR_PERFECT)
    rest = [key for key in others if key not in found]
    roles = Roles(
        metric=metric,
        parameters=tuple((key, bare(key)) for key in found),
        results=tuple(key for key in rest if is_result(key) and not is_bookkeeping(key)),
        bookkeeping=tuple(key for key in rest if is_bookkeeping(key) or not is_result(key)),
    )
    return roles, doubtful


_NEAR_PERFECT = 0.99
