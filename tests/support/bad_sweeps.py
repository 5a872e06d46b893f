"""Sweep files with one mistake each, and what must be said about it.

Each row is `(id, yaml_text, expected_substring, expected_line)`. The substring holds the key (if the mistake has one)
and the rule; the line is where the message must point. All must be refused with exit code 2 and nothing written.
"""

BadSweep = tuple[str, str, str, int]


def _with(parameters: str, top: str = "method: random") -> str:
    """Return a sweep of `top` (its lines) and one line of parameters each."""
    return f"{top}\nprogram: train.py\nparameters:\n" + "".join(f"  {line}\n" for line in parameters.splitlines())


_LR = "lr: {min: 0.1, max: 0.5}"
_HYPERBAND = "early_terminate: {type: hyperband, min_iter: 1}"
_LOSS = "metric: {name: loss}"

BAD_SWEEPS: list[BadSweep] = [
    # The file
    ("empty", "", "the document must be a mapping of keys to values, got an empty document", 1),
    ("only_comments", "# nothing\n", "the document must be a mapping of keys to values", 1),
    ("a_list", "- method: random\n", "the document must be a mapping of keys to values, got a list", 1),
    ("a_word", "random\n", "the document must be a mapping of keys to values, got a single value", 1),
    ("tab", "method: random\nparameters:\n\tlr: {value: 1}\n", "a tab cannot indent or begin a value; use spaces", 3),
    ("open_bracket", "method: random\nparameters:\n  lr: {values: [1, 2}\n", "not valid YAML", 3),
    ("open_quote", 'method: "random\nparameters:\n  lr: {value: 1}\n', "not valid YAML: found unexpected end", 1),
    ("two_colons", "method: random\nname: first: second\n", "not valid YAML: mapping values are not allowed", 2),
    ("no_such_anchor", "method: random\nparameters: *shared\n", "found undefined alias 'shared'", 2),
    ("two_documents", _with(_LR) + "---\nmethod: grid\n", "a file holds one document, got 2 documents", 6),
    ("yaml_1_1", "%YAML 1.1\n---\n" + _with(_LR), "files are YAML 1.2, got %YAML 1.1", 1),
    (
        "duplicate_key",
        _with(_LR + "\n" + _LR),
        "parameters.lr: a key stands once in a mapping, the first is on line 4",
        5,
    ),
    ("merge_of_nothing", _with("<<: 3\n" + _LR), "parameters.<<: << merges a mapping", 4),
    (
        "alias_cycle",
        _with("a: &a {parameters: *a}"),
        "parameters.a.parameters: an alias cannot stand inside what it names",
        4,
    ),
    ("own_tag", _with("lr: {value: !point 3}"), "parameters.lr.value: the tag !point is not known, got 3", 4),
    ("python_tag", _with("lr: {value: !!python/name:os.system x}"), "the tag !!python/name:os.system is not known", 4),
    ("control_character", "method: random\nname: a\x01b\n", "character '\\x01' is not allowed", 2),
    # Values
    ("date", _with("day: {values: [2024-01-01]}"), "parameters.day.values[0]: a date is not a value", 4),
    ("set", _with("x: {value: !!set {a, b}}"), "parameters.x.value: a set is not a value a sweep can hold", 4),
    ("binary", _with("x: {value: !!binary aGk=}"), "parameters.x.value: binary data is not a value", 4),
    ("infinite", _with("x: {min: 0.5, max: .inf}"), "parameters.x.max: a number must be finite, got .inf", 4),
    ("overflow", _with("x: {min: 0.5, max: 1e999}"), "parameters.x.max: a number must be finite, got 1e999", 4),
    ("wrong_tag", _with("x: {value: !!float abc}"), "parameters.x.value: must be what its tag !!float says", 4),
    ("number_as_key", _with("x: {value: {1: a}}"), 'parameters.x.value.1: a key must be a string, got 1; write "1"', 4),
    # The top
    ("no_method", "program: t.py\nparameters:\n  lr: {value: 1}\n", "a sweep needs a method; add method: grid,", 1),
    (
        "method_typo",
        _with(_LR, "method: bayez"),
        'method: must be one of grid, random, bayes, custom, got "bayez"; did',
        1,
    ),
    ("no_parameters", "method: random\n", "a sweep needs parameters", 1),
    ("empty_parameters", "method: random\nparameters: {}\n", "parameters: at least one parameter is needed", 2),
    (
        "null_parameters",
        "method: random\nparameters:\n",
        "parameters: must be a mapping of keys to values, got null",
        2,
    ),
    ("key_typo", _with(_LR, "method: random\nprojekt: x"), "projekt is not a key of a sweep", 2),
    ("key_typo_hint", _with(_LR, "method: random\nearly_stopping: {}"), "did you mean early_terminate?", 2),
    ("name_is_number", _with(_LR, "method: random\nname: 3"), 'name: must be a string, got 3; write "3"', 2),
    ("null_description", _with(_LR, "method: random\ndescription:"), "description: must be a string, got null", 2),
    ("kind", _with(_LR, "method: random\nkind: job"), 'kind: must be one of sweep, got "job"', 2),
    ("run_cap_zero", _with(_LR, "method: random\nrun_cap: 0"), "run_cap: must be at least 1, got 0", 2),
    ("run_cap_half", _with(_LR, "method: random\nrun_cap: 2.5"), "run_cap: must be a whole number, got 2.5", 2),
    ("run_cap_bool", _with(_LR, "method: random\nrun_cap: true"), "run_cap: must be a whole number, got true", 2),
    ("command_string", _with(_LR, "method: random\ncommand: python t.py"), "command: must be a list, got", 2),
    # Parameters
    ("scalar_parameter", _with("lr: 3"), "parameters.lr: a parameter must be a mapping", 4),
    ("list_parameter", _with("lr: [1, 2]"), "got [1, 2]; write values: [1, 2]", 4),
    ("empty_parameter", _with("lr: {}"), "parameters.lr: a parameter needs value, values, min and max", 4),
    ("parameter_name", _with("1lr: {value: 3}"), "parameters.1lr: a parameter's name begins with a letter or _", 4),
    ("no_values", _with("lr: {values: []}"), "parameters.lr.values: at least one value is needed", 4),
    ("values_scalar", _with("lr: {values: 3}"), "parameters.lr.values: must be a list, got 3; write [3]", 4),
    ("values_and_min", _with("lr: {values: [1], min: 0}"), "parameters.lr.min: min is not a key of categorical", 4),
    ("value_and_values", _with("lr: {values: [1], value: 0}"), "value is not a key of categorical", 4),
    ("no_max", _with("lr: {min: 1}"), "parameters.lr: int_uniform needs max", 4),
    ("min_above_max", _with("lr: {min: 0.5, max: 0.1}"), "parameters.lr: min must be below max, got", 4),
    ("min_equals_max", _with("lr: {min: 1, max: 1}"), "min must be below max", 4),
    (
        "string_bound",
        _with('lr: {min: "1e-4", max: 0.1}'),
        'parameters.lr.min: must be a number, got "1e-4"; write 1e-4',
        4,
    ),
    ("bool_bound", _with("lr: {min: 0, max: true}"), "parameters.lr.max: must be a number, got true", 4),
    (
        "float_int_uniform",
        _with("n: {distribution: int_uniform, min: 1.0, max: 4}"),
        "int_uniform needs whole numbers",
        4,
    ),
    (
        "log_from_zero",
        _with("lr: {distribution: log_uniform_values, min: 0, max: 1}"),
        "lr.min: must be above 0, got 0",
        4,
    ),
    ("distribution_typo", _with("lr: {distribution: unifrom, min: 0, max: 1}"), "did you mean uniform?", 4),
    ("extra_key", _with("lr: {min: 0, max: 1, step: 1}"), "parameters.lr.step: step is not a key of int_uniform", 4),
    ("key_of_other_kind", _with("x: {distribution: normal, q: 1}"), "q is not a key of normal, got 1; normal takes", 4),
    ("q_zero", _with("x: {distribution: q_normal, q: 0}"), "parameters.x.q: must be above 0, got 0", 4),
    ("negative_sigma", _with("x: {distribution: normal, sigma: -1}"), "x.sigma: must be at least 0, got -1", 4),
    ("beta_zero", _with("x: {distribution: beta, a: 0}"), "parameters.x.a: must be above 0, got 0", 4),
    ("exponent_overflow", _with("x: {distribution: log_uniform, min: 1, max: 1000}"), "exponents of e, at most 709", 4),
    ("probabilities_length", _with("x: {values: [1, 2], probabilities: [1]}"), "must be as long as values (2)", 4),
    ("probabilities_sum", _with("x: {values: [1, 2], probabilities: [0.5, 0.6]}"), "must sum to 1, got [0.5, 0.6]", 4),
    (
        "probabilities_negative",
        _with("x: {values: [1, 2], probabilities: [-1, 2]}"),
        "probabilities[0]: a probability",
        4,
    ),
    ("empty_nested", _with("o: {parameters: {}}"), "parameters.o.parameters: at least one parameter is needed", 4),
    ("nested_and_value", _with("o: {parameters: {a: {value: 1}}, value: 3}"), "nothing stands beside a nested", 4),
    ("nested_bounds", _with("o:\n  parameters:\n    a: {min: 2, max: 1}"), "parameters.o.parameters.a: min must be", 6),
    ("grid_continuous", _with(_LR, "method: grid"), "parameters.lr: a grid takes value, values, int_uniform and", 4),
    ("grid_probabilities", _with("x: {values: [1, 2], probabilities: [0.5, 0.5]}", "method: grid"), "a grid takes", 4),
    # Objective
    ("metric_string", _with(_LR, "method: random\nmetric: loss"), "metric: a metric must be a mapping with a name", 2),
    ("metric_no_name", _with(_LR, "method: random\nmetric: {goal: minimize}"), "metric: a metric needs a name", 2),
    (
        "goal",
        _with(_LR, "method: random\nmetric: {name: loss, goal: min}"),
        'minimize, maximize, got "min"; did you mean',
        2,
    ),
    (
        "target_string",
        _with(_LR, 'method: random\nmetric: {name: loss, target: "1"}'),
        "metric.target: must be a number",
        2,
    ),
    (
        "impute",
        _with(_LR, "method: random\nmetric: {name: loss, impute: mean}"),
        "metric.impute: must be one of latest",
        2,
    ),
    ("metric_key", _with(_LR, "method: random\nmetric: {name: loss, gaol: minimize}"), "did you mean goal?", 2),
    ("bayes_no_metric", _with(_LR, "method: bayes"), "method: method bayes needs a metric", 1),
    (
        "metric_and_metrics",
        _with(_LR, "method: custom\nscheduler: {engine: optuna}\n" + _LOSS + "\nmetrics: [{name: a}, {name: b}]"),
        "metrics: metric and metrics cannot both be given",
        4,
    ),
    ("metrics_random", _with(_LR, "method: random\nmetrics: [{name: a}, {name: b}]"), "metrics needs method custom", 2),
    (
        "one_metrics",
        _with(_LR, "method: custom\nscheduler: {engine: optuna}\nmetrics: [{name: a}]"),
        "metrics lists at least two",
        3,
    ),
    # Early termination
    (
        "early_no_metric",
        _with(_LR, "method: random\nearly_terminate: {type: hyperband, min_iter: 1}"),
        "early_terminate needs a metric",
        2,
    ),
    (
        "early_no_type",
        _with(_LR, f"method: random\n{_LOSS}\nearly_terminate: {{min_iter: 1}}"),
        "early_terminate needs a type",
        3,
    ),
    (
        "early_type",
        _with(_LR, f"method: random\n{_LOSS}\nearly_terminate: {{type: median}}"),
        "put it under `sweepkit:`",
        3,
    ),
    (
        "early_no_bands",
        _with(_LR, f"method: random\n{_LOSS}\nearly_terminate: {{type: hyperband, max_iter: 9}}"),
        "hyperband needs min_iter, or max_iter and s",
        3,
    ),
    (
        "early_max_iter_alone",
        _with(_LR, f"method: random\n{_LOSS}\nearly_terminate: {{type: hyperband, max_iter: 9, min_iter: 1}}"),
        "max_iter needs s",
        3,
    ),
    (
        "early_no_band",
        _with(_LR, f"method: random\n{_LOSS}\nearly_terminate: {{type: hyperband, max_iter: 2, s: 1}}"),
        "early_terminate.max_iter: max_iter must be at least eta (3)",
        3,
    ),
    (
        "early_s_half",
        _with(_LR, f"method: random\n{_LOSS}\nearly_terminate: {{type: hyperband, max_iter: 27, s: 2.5}}"),
        "early_terminate.s: must be a whole number, got 2.5",
        3,
    ),
    (
        "early_eta",
        _with(_LR, f"method: random\n{_LOSS}\nearly_terminate: {{type: hyperband, min_iter: 1, eta: 1}}"),
        "early_terminate.eta: must be above 1, got 1",
        3,
    ),
    (
        "early_strict",
        _with(_LR, f"method: random\n{_LOSS}\nearly_terminate: {{type: hyperband, min_iter: 1, strict: yes}}"),
        'early_terminate.strict: must be true or false, got "yes"; YAML 1.2',
        3,
    ),
    # Schedulers and controllers
    ("custom_alone", _with(_LR, f"method: custom\n{_LOSS}"), "method: method custom needs a scheduler", 1),
    (
        "engine_typo",
        _with(_LR, "method: custom\nscheduler: {engine: optina}"),
        "scheduler.engine: must be one of optuna, ax",
        2,
    ),
    ("no_engine", _with(_LR, "method: custom\nscheduler: {source: s.py}"), "scheduler needs an engine", 2),
    (
        "engine_method",
        _with(_LR, "method: random\nscheduler: {engine: optuna}"),
        "engine optuna needs method custom",
        2,
    ),
    (
        "optimizer_no_source",
        _with(_LR, f"method: custom\nscheduler: {{engine: optuna, optimizer: f}}\n{_LOSS}"),
        "optimizer needs source",
        2,
    ),
    (
        "custom_no_objective",
        _with(_LR, "method: custom\nscheduler: {engine: optuna}"),
        "custom needs a metric or metrics",
        1,
    ),
    (
        "scheduler_early",
        _with(
            _LR,
            f"method: custom\nscheduler: {{engine: optuna}}\n{_LOSS}\n{_HYPERBAND}",
        ),
        "early_terminate and scheduler cannot both be given",
        4,
    ),
    (
        "controller_type",
        _with(_LR, "method: random\ncontroller: {type: here}"),
        "controller.type: must be one of local, cloud",
        2,
    ),
    (
        "controller_scheduler",
        _with(_LR, f"method: custom\n{_LOSS}\nscheduler: {{engine: optuna}}\ncontroller: {{type: local}}"),
        "controller local and scheduler",
        4,
    ),
    # Our own settings
    (
        "sweepkit_list",
        _with(_LR, "method: random\nsweepkit: [seed]"),
        "sweepkit: must be a mapping of keys to values",
        2,
    ),
    (
        "sweepkit_typo",
        _with(_LR, "method: random\nsweepkit:\n  sede: 3"),
        "sweepkit.sede: sede is not a key of sweepkit, got 3; did you mean seed?",
        3,
    ),
    (
        "sweepkit_seed",
        _with(_LR, "method: random\nsweepkit: {seed: -1}"),
        "sweepkit.seed: must be at least 0, got -1",
        2,
    ),
    (
        "sweepkit_retries",
        _with(_LR, "method: random\nsweepkit: {retries: many}"),
        "sweepkit.retries: must be a whole number",
        2,
    ),
    (
        "sweepkit_timeout",
        _with(_LR, "method: random\nsweepkit: {timeout_s: 0}"),
        "sweepkit.timeout_s: must be above 0, got 0",
        2,
    ),
    (
        "sweepkit_sampler",
        _with(_LR, "method: random\nsweepkit: {sampler: tpee}"),
        "sweepkit.sampler: must be one of tpe, gp, cmaes, nsga, random, grid, qmc, auto",
        2,
    ),
    (
        "sweepkit_grid_sampler",
        _with("x: {values: [1, 2]}", "method: grid\nsweepkit: {sampler: random}"),
        "a grid has no sampler",
        2,
    ),
    ("sweepkit_tpe_no_metric", _with(_LR, "method: random\nsweepkit: {sampler: tpe}"), "sampler tpe needs a metric", 2),
    (
        "sweepkit_preload",
        _with(_LR, "method: random\nsweepkit: {preload: torch}"),
        'must be a list of strings, got "torch"; write [torch]',
        2,
    ),
    (
        "sweepkit_module",
        _with(_LR, "method: random\nsweepkit: {preload: [a-b]}"),
        "sweepkit.preload[0]: must be the dotted name",
        2,
    ),
    (
        "sweepkit_cpus",
        _with(_LR, "method: random\nsweepkit: {cpus_per_run: 0}"),
        "cpus_per_run: must be at least 1, got 0",
        2,
    ),
    (
        "two_early",
        _with(
            _LR,
            f"method: random\n{_LOSS}\n{_HYPERBAND}\nsweepkit: {{early_terminate: {{type: median}}}}",
        ),
        "early_terminate and sweepkit.early_terminate cannot both be given",
        3,
    ),
    *(
        (
            f"audit_{name}",
            _with(_LR, f"method: random\n{_LOSS}\nsweepkit: {{audit_stopped: 0.5{rest}}}"),
            "sweepkit.audit_stopped: audit_stopped needs a stopping rule: it finishes runs that the rule would end, "
            "got 0.5; add early_terminate: auto under `sweepkit:`, or leave it out",
            3,
        )
        for name, rest in (("of_nothing", ""), ("of_none", ", early_terminate: {type: none}"))
    ),
    *(
        (
            f"conditional_{sampler}",
            _with(
                _LR + "\nwd: {min: 0.1, max: 0.5}",
                f"method: bayes\n{_LOSS}\nsweepkit:\n"
                f"  conditions: {{wd: {{when: {{lr: {{min: 0.2}}}}}}}}\n  sampler: {sampler}",
            ),
            f"sweepkit.sampler: {sampler} needs all parameters in every run, and here some runs lack some, "
            f'got "{sampler}"; use sampler tpe',
            5,
        )
        for sampler in ("cmaes", "qmc")
    ),
    (
        "first_point_inactive",
        _with(
            "opt: {values: [sgd, adam]}\nbeta: {min: 0.1, max: 0.5}",
            "method: random\nsweepkit:\n  conditions: {beta: {when: {opt: adam}}}\n"
            "  first_points:\n    - {opt: adam, beta: 0.2}\n    - {opt: sgd, beta: 0.2}",
        ),
        "sweepkit.first_points[1]: beta is no part of such a run, got 0.2; give the point values of opt that",
        6,
    ),
    (
        "median_setting",
        _with(_LR, f"method: random\n{_LOSS}\nsweepkit: {{early_terminate: {{type: median, eta: 3}}}}"),
        "eta is not a key of early_terminate median",
        3,
    ),
    (
        "patience_zero",
        _with(_LR, f"method: random\n{_LOSS}\nsweepkit: {{early_terminate: {{type: patience, patience: 0}}}}"),
        "sweepkit.early_terminate.patience: must be at least 1",
        3,
    ),
    (
        "on_failure_word",
        _with(_LR, "method: random\nsweepkit: {on_failure: retry}"),
        'sweepkit.on_failure: must be a list of rules, got "retry"; write - {match',
        2,
    ),
    (
        "on_failure_action",
        _with(_LR, "method: random\nsweepkit: {on_failure: [{match: x, do: retri}]}"),
        "sweepkit.on_failure[0].do: must be one of fail, retry, elsewhere",
        2,
    ),
    (
        "on_failure_regex",
        _with(_LR, 'method: random\nsweepkit: {on_failure: [{match: "(", do: retry}]}'),
        "sweepkit.on_failure[0].match: must be a regular expression, missing ), unterminated",
        2,
    ),
    (
        "on_failure_missing",
        _with(_LR, "method: random\nsweepkit: {on_failure: [{do: retry}]}"),
        "sweepkit.on_failure[0]: a rule for failures needs match",
        2,
    ),
    (
        "on_failure_times",
        _with(_LR, "method: random\nsweepkit: {on_failure: [{match: x, do: retry, times: 0}]}"),
        "sweepkit.on_failure[0].times: must be at least 1, got 0",
        2,
    ),
    (
        "on_failure_key",
        _with(_LR, "method: random\nsweepkit: {on_failure: [{match: x, do: retry, time: 3}]}"),
        "did you mean times?",
        2,
    ),
    (
        "base_config_number",
        _with(_LR, "method: random\nsweepkit: {base_config: 3}"),
        "sweepkit.base_config: must be",
        2,
    ),
    # Seeds and the hold-out set
    *(
        (f"seeds_per_run_{name}", _with(_LR, f"method: random\nsweepkit: {{seeds_per_run: {value}}}"), rule, 2)
        for name, value, rule in (
            ("one", "1", "sweepkit.seeds_per_run: must be a whole number from 2 to 1000, a list of seeds or a mapping"),
            ("word", "three", 'a list of seeds or a mapping, got "three"; write a number from 2, a list as'),
            ("yes", "true", "a list of seeds or a mapping, got true"),
            ("alone", "[7]", "sweepkit.seeds_per_run: must list 2 to 1000 seeds, got [7]"),
            ("twice", "[7, 8, 7]", "sweepkit.seeds_per_run[2]: every seed must be given once, got 7"),
            ("negative", "[7, -1]", "sweepkit.seeds_per_run[1]: a seed must be a whole number from 0 to 4294967295"),
            ("nothing", "{min_seeds: 2}", "sweepkit.seeds_per_run: seeds_per_run needs seeds"),
            ("key", "{seeds: 3, stop: true}", "sweepkit.seeds_per_run.stop: stop is not a key of"),
            ("min", "{seeds: 3, min_seeds: 4}", "min_seeds: must be at most the number of seeds, 3, got 4"),
            ("race", "{seeds: 3, stop_worse: true}", "stop_worse needs one metric to compare by, got no metric"),
        )
    ),
    (
        "seeds_and_parameter",
        _with(_LR + "\nseed: {values: [1, 2]}", "method: random\nsweepkit: {seeds_per_run: 2}"),
        "parameters.seed: seed gets the seeds of sweepkit.seeds_per_run and cannot be a parameter",
        6,
    ),
    (
        "seed_parameter_empty",
        _with(_LR, "method: random\nsweepkit: {seed_parameter: ''}"),
        "sweepkit.seed_parameter: must be a parameter's name",
        2,
    ),
    ("holdout_list", _with(_LR, "method: random\nsweepkit: {holdout: [a]}"), "sweepkit.holdout: must be a mapping", 2),
    (
        "holdout_empty",
        _with(_LR, "method: random\nsweepkit: {holdout: {}}"),
        "sweepkit.holdout: must name at least one parameter",
        2,
    ),
    (
        "holdout_searched",
        _with(_LR, "method: random\nsweepkit: {holdout: {lr: 1}}"),
        "sweepkit.holdout.lr: lr is searched: another value of it is another configuration",
        2,
    ),
    (
        "holdout_seed",
        _with(_LR, "method: random\nsweepkit: {holdout: {seed: 1}}"),
        "sweepkit.holdout.seed: seed has the seed and cannot name the hold-out set",
        2,
    ),
]
