"""Optuna configurations with one mistake each, and what must be said about it: `(id, yaml_text, substring, line)`."""

BadConfig = tuple[str, str, str, int]


def _space(parameter: str, top: str = "") -> str:
    """Return a study of one more parameter (on line 2, or below `top`) beside a good one."""
    return f"{top}search_space:\n  {parameter}\n  weight_decay: {{type: uniform, low: 0, high: 1}}\n"


def _top(lines: str) -> str:
    """Return a good search space (lines 1 and 2) with other sections after it."""
    return f"search_space:\n  learning_rate: {{type: loguniform, low: 1e-4, high: 1e-2}}\n{lines}\n"


_LR = "search_space.learning_rate"
_IMAGES = "base_config: perceiver\n"

BAD_OPTUNA: list[BadConfig] = [
    # ranges
    ("low_above_high", _space("learning_rate: {type: uniform, low: 1, high: 0.1}"), f"{_LR}.low: low must be below", 2),
    ("low_is_high", _space("learning_rate: {type: uniform, low: 1, high: 1}"), "a constant stands under fixed:", 2),
    ("log_of_0", _space("learning_rate: {type: loguniform, low: 0, high: 1}"), "range begins above 0, got 0", 2),
    ("log_below_0", _space("learning_rate: {type: float, log: true, low: -1, high: 1}"), "begins above 0, got -1", 2),
    ("int_log_of_0", _space("num_beams: {type: int, log: true, low: 0, high: 8}"), "begins above 0, got 0; low: 1", 2),
    ("old_log_of_0", _space("learning_rate: {type: suggest_loguniform, low: 0, high: 1}"), "begins above 0", 2),
    ("step_with_log", _space("num_beams: {type: int, low: 1, high: 9, step: 2, log: true}"), "step and log cannot", 2),
    ("step_no_fit", _space("num_beams: {type: int, low: 1, high: 8, step: 2}"), "high: 7 fits", 2),
    ("step_too_wide", _space("num_beams: {type: int, low: 1, high: 3, step: 5}"), "high: 6 fits", 2),
    ("float_step", _space("warmup_ratio: {type: float, low: 0, high: 0.5, step: 0.2}"), "high: 0.4 fits", 2),
    ("step_0", _space("warmup_ratio: {type: float, low: 0, high: 0.5, step: 0}"), "step: must be above 0, got 0", 2),
    ("no_step", _space("warmup_ratio: {type: discrete_uniform, low: 0, high: 0.5}"), "discrete_uniform needs step", 2),
    ("int_decimal", _space("num_beams: {type: int, low: 1.5, high: 3}"), "low: must be a whole number, got 1.5", 2),
    ("no_high", _space("learning_rate: {type: uniform, low: 1}"), "type uniform needs high", 2),
    ("quoted", _space('learning_rate: {type: uniform, low: "1e-4", high: 1}'), "write 1e-4 without quotes", 2),
    ("not_log", _space("learning_rate: {type: loguniform, low: 1e-4, high: 1, log: false}"), "is logarithmic", 2),
    ("infinite", _space("learning_rate: {type: uniform, low: 0.1, high: .inf}"), "a number must be finite", 2),
    # choices
    ("no_choices", _space("scheduler_type: {type: categorical}"), "type categorical needs choices", 2),
    ("empty_choices", _space("scheduler_type: {type: categorical, choices: []}"), "at least one choice is needed", 2),
    ("choices_word", _space("scheduler_type: {type: categorical, choices: linear}"), 'must be a list, got "linear"', 2),
    ("choice_twice", _space("batch_size: {type: categorical, choices: [8, 8]}"), "choices[1]: a choice stands once", 2),
    ("choice_map", _space("batch_size: {type: categorical, choices: [{a: 1}]}"), "choices[0]: a choice must be", 2),
    ("choice_wrong", _space("scheduler_type: {type: categorical, choices: [cosinus]}"), "did you mean cosine?", 2),
    # types and keys
    ("no_type", _space("learning_rate: {low: 0.1, high: 1.0}"), "needs a type: loguniform", 2),
    ("no_type_int", _space("num_beams: {low: 1, high: 3}"), "add type: int", 2),
    ("unknown_type", _space("learning_rate: {type: logunifrm, low: 1e-4, high: 1}"), "did you mean loguniform?", 2),
    ("type_number", _space("learning_rate: {type: 3, low: 1e-4, high: 1}"), "type: must be one of loguniform", 2),
    ("key", _space("learning_rate: {type: uniform, lo: 1, low: 0.1, high: 1}"), "lo is not a key of type uniform", 2),
    (
        "low_of_choice",
        _space("batch_size: {type: categorical, choices: [8], low: 1}"),
        "low is not a key of type cat",
        2,
    ),
    ("both_words", _space("batch_size: {type: int, low: 1, min: 1, high: 4}"), "min and low say the same", 2),
    ("bare_value", _space("learning_rate: 0.1"), "a constant stands under fixed: as learning_rate: 0.1", 2),
    ("bare_list", _space("batch_size: [8, 16]"), "write {type: categorical, choices: [8, 16]}", 2),
    ("group", _space("advanced: {lora_r: {type: int, low: 1, high: 4}}"), "a group is a heading", 2),
    ("empty_space", "optuna: {n_trials: 3}\nsearch_space: {}\n", "at least one parameter is needed", 2),
    ("no_space", _IMAGES + "optuna: {n_trials: 3}\n", "a study needs a search_space", 1),
    # what the trainer takes
    ("unknown_parameter", _space("lerning_rate: {type: uniform, low: 0.1, high: 1}"), "did you mean learning_rate?", 2),
    ("out_of_field", _space("warmup_ratio: {type: uniform, low: 0, high: 1}"), "training.warmup_ratio must be", 2),
    ("whole_field", _space("num_beams: {type: uniform, low: 1, high: 4}"), "is a whole number, got", 2),
    ("bool_field", _space("fp16: {type: int, low: 0, high: 1}"), "training.fp16 is no number", 2),
    (
        "twice",
        _space("lr: {type: uniform, low: 0.1, high: 1}\n  learning_rate: {type: uniform, low: 0.1, high: 1}"),
        "search_space.learning_rate: lr sets training.learning_rate already",
        3,
    ),
    ("not_of_task", _space("num_beams: {type: int, low: 1, high: 4}", _IMAGES), "configuration (perceiver)", 3),
    # the study
    ("disabled", _top("optuna: {enabled: false}"), "optuna.enabled: must be true, the search is switched off", 3),
    ("no_trials", _top("optuna: {n_trials: 0}"), "optuna.n_trials: must be at least 1, got 0", 3),
    ("timeout", _top("optuna: {timeout: -5}"), "optuna.timeout: must be above 0, got -5", 3),
    ("direction", _top("optuna: {direction: maximise}"), "did you mean maximize?", 3),
    ("directions", _top("optuna: {directions: [maximize]}"), "directions need metrics", 3),
    ("lengths", _top("optuna: {metrics: [eval/loss], directions: [minimize, maximize]}"), "as long as metrics (1)", 3),
    ("own_metric", _top("optuna: {metric: my_score}"), "a metric of your own needs a direction", 3),
    ("both_metrics", _top("optuna: {metric: eval/loss, metrics: [eval/loss]}"), "metric and metrics cannot both", 3),
    ("n_jobs", _top("optuna: {n_jobs: 0}"), "optuna.n_jobs: must be at least 1, or -1", 3),
    ("study_key", _top("optuna: {ntrials: 3}"), "ntrials is not a key of optuna, got 3; did you mean n_trials?", 3),
    ("section", _top("prunning: {enabled: true}"), "did you mean pruning?", 3),
    ("sampler", _top("sampler: tpee"), "sampler: must be one of", 3),
    ("two_samplers", _top("sampler: tpe\noptuna: {sampler: random}"), "sampler: stands under optuna, too", 3),
    ("pruner", _top("pruning: {type: medan}"), "pruning.type: must be one of", 3),
    ("pruner_key", _top("pruning: {n_startup_trail: 3}"), "pruning.n_startup_trail: n_startup_trail is not a key", 3),
    ("pruner_value", _top("pruning:\n  type: median\n  n_startup_trials: -3"), "pruning.n_startup_trials: must be", 5),
    (
        "pruned_front",
        _top(
            "pruning: {type: median}\noptuna: {metrics: [eval/loss, eval/rouge1_f1], directions: [minimize, maximize]}"
        ),
        "a run with several objectives cannot be pruned",
        3,
    ),
    ("base", _top("base_config: models/tiny_brat"), "did you mean models/tiny_bart?", 3),
    ("fixed", _top("fixed: {lora_ranks: 3}"), "fixed.lora_ranks: must be a field", 3),
    ("fixed_value", _top("fixed: {fp16: 3}"), "fixed.fp16: training.fp16 must be true or false", 3),
    ("fixed_twice", _top("fixed: {training.learning_rate: 0.1}"), "search_space.learning_rate sets training", 3),
    ("sweepkit", _top("sweepkit: {retrys: 3}"), "sweepkit.retrys: retrys is not a key of sweepkit", 3),
    ("sweepkit_said", _top("sweepkit: {seed: 3}"), "sweepkit.seed: optuna.seed says it here", 3),
    # quick validation
    ("quick_key", _top("quick_validation: {epoch: 1}"), "did you mean epochs?", 3),
    ("quick_folds", _top("base_config: base_config\nquick_validation: {folds: 2}"), "summarization has no folds", 4),
    ("quick_value", _top("quick_validation: {epochs: 0}"), "quick_validation.epochs: must be above 0, got 0", 3),
    (
        "quick_twice",
        _space("num_epochs: {type: int, low: 1, high: 3}", "quick_validation: {epochs: 1}\n"),
        "quick_validation.epochs: search_space.num_epochs sets training.num_train_epochs already",
        1,
    ),
    # phases
    ("phases_map", _top("phases: {explore: 3}"), "phases: must be a list of phases", 3),
    ("phase_kind", _top("phases:\n  - {name: first}"), "phases[0]: a phase needs a kind, or the parameters", 4),
    ("phase_focus", _top("phases: [focus]"), "a phase to focus needs one before it", 3),
    ("phase_stage", _top("phases:\n  - {name: a, parameters: [learning_rat]}"), "did you mean learning_rate?", 4),
    ("phase_names", _top("phases: [explore, explore]"), "phases[1]: each phase has a name of its own", 3),
    ("phase_key", _top("phases:\n  - {name: explore, top: 3}"), "phases[0].top: top is not a key of a phase to", 4),
    ("phase_last", _top("phases: [explore, confirm, focus]"), "nothing comes after a phase to confirm", 3),
    ("phase_margin", _top("phases:\n  - explore\n  - {name: focus, margin: 2}"), "margin: must be at most 1", 5),
    (
        "phase_seeds",
        _top("phases:\n  - explore\n  - {name: confirm, seeds: [1, 1]}"),
        "seeds[1]: a seed stands once",
        5,
    ),
    ("phase_sampler", _top("phases:\n  - explore\n  - {name: focus, sampler: tpee}"), "phases[1].sampler: must be", 5),
    ("phase_grid", _top("phases:\n  - {name: explore, sampler: grid}"), "phases[0].sampler: a grid takes", 4),
    (
        "phase_rest",
        _top("phases:\n  - {name: a, parameters: [learning_rate]}\n  - {name: b, parameters: rest}"),
        "no parameter is left",
        5,
    ),
]
