"""Other words for what a training configuration holds: short names of checkpoints, and fields that transformers has.

A word whose meaning is certain is taken. One for which there is no field is left out, and what governs it is said.
"""

import re
from collections.abc import Mapping

# Short names of checkpoints; the same that name a file config/models/optimal_<name>.yaml.
_CHECKPOINTS: Mapping[str, str] = {
    "kobart": "digit82/kobart-summarization",
    "kogpt2": "skt/kogpt2-base-v2",
    "t5": "KETI-AIR/ke-t5-base",
    "ke-t5": "KETI-AIR/ke-t5-base",
    "ket5": "KETI-AIR/ke-t5-base",
    "mt5": "google/mt5-small",
}
_EFFICIENTNET = re.compile(r"(?:tf_)?efficientnet[-_]?(b[0-7])(?:_ns|_ap)?", re.IGNORECASE)  # timm's words for them
# Words before the name of a model in names of configurations; they say nothing about which model it is.
_CONFIG_WORDS = ("baseline_", "optimal_")

_SAVED = "the best evaluation counts; training.save_model: true keeps the model at the end"
_DRAWN = "summaries are drawn when generation.temperature or generation.top_p is given, else the likeliest is taken"
_REPORTED_ALWAYS = "every evaluation is reported"
# Arguments of transformers without a field here, and what governs it.
GOVERNED: Mapping[str, str] = {
    "save_steps": _SAVED,
    "save_strategy": _SAVED,
    "save_total_limit": _SAVED,
    "load_best_model_at_end": "the best evaluation counts in any case, and is what a run is judged by",
    "metric_for_best_model": "the sweep's metric decides; alone, eval/rouge_combined_f1 (images: eval/macro_f1)",
    "greater_is_better": "the metric knows: the sweep's goal, and for scores the higher",
    "do_sample": _DRAWN,
    "early_stopping": "a beam search ends by itself; training.early_stopping_patience ends a training",
    "logging_steps": _REPORTED_ALWAYS,
    "logging_strategy": _REPORTED_ALWAYS,
    "logging_dir": _REPORTED_ALWAYS,
    "logging_first_step": _REPORTED_ALWAYS,
    "report_to": "wandb.enabled: true records with W&B, too",
    "overwrite_output_dir": "results are written in one step over what there was",
    "dataloader_num_workers": "tokenized data are memory-mapped, so no workers are needed",
    "dataloader_pin_memory": "memory is pinned where there is a GPU",
    "remove_unused_columns": "only the columns that are needed are read",
    "push_to_hub": "nothing is sent anywhere",
    "model_parallel": "a run has one GPU; sweepkit.gpus_per_run gives a program of your own more",
    "n_gpu": "sweepkit.gpus_per_run says how many GPUs a run has",
}


def full_checkpoint(name: str) -> str:
    """Return the hub's name of a checkpoint that has a short one; any other name as it is.

    >>> full_checkpoint("kobart"), full_checkpoint("efficientnet_b3"), full_checkpoint("mine/model")
    ('digit82/kobart-summarization', 'google/efficientnet-b3', 'mine/model')
    """
    found = _EFFICIENTNET.fullmatch(name)
    return f"google/efficientnet-{found[1].lower()}" if found else _CHECKPOINTS.get(name.lower(), name)


def short_model(stem: str) -> str:
    """Return the model that a configuration's file is called after, "" when it is not.

    >>> short_model("optimal_kobart"), short_model("base_config")
    ('kobart', '')
    """
    return next((stem.removeprefix(word) for word in _CONFIG_WORDS if stem.startswith(word)), "")


def config_names(name: str) -> tuple[str, ...]:
    """Return the names in config/models/ that a short name of a configuration may mean, the likeliest first.

    >>> config_names("baseline_kobart")
    ('baseline_kobart', 'optimal_kobart')
    """
    bare = name.removesuffix(".yaml")
    for word in _CONFIG_WORDS:
        bare = bare.removeprefix(word)
    same = {"ke-t5": "t5", "ket5": "t5"}.get(bare, bare)
    return tuple(dict.fromkeys((name, f"optimal_{same}")))
