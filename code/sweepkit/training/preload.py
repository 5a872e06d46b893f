"""Importing this module makes a process ready for trainings: name it under a sweep's `sweepkit.preload`.

A run forked from such a process reaches its first step in about 0.15 s instead of 7 s. What is warmed here, beyond the
imports of the task itself, is what transformers imports or builds at its first use. No torch operation runs, no random
number is drawn, no thread is started: the forked run computes the same bits as one in a fresh process.
"""

import contextlib

import torch.profiler  # noqa: F401 - the Trainer's first step imports it
from transformers.generation import configuration_utils, logits_process, stopping_criteria  # noqa: F401
from transformers.models.auto import modeling_auto, tokenization_auto  # noqa: F401
from transformers.models.bart import configuration_bart, modeling_bart  # noqa: F401
from transformers.models.gpt2 import configuration_gpt2, modeling_gpt2  # noqa: F401
from transformers.models.t5 import configuration_t5, modeling_t5  # noqa: F401

import sweepkit.training.models.lora  # noqa: F401 - peft
import sweepkit.training.session  # noqa: F401
import sweepkit.training.tasks.summarization  # noqa: F401 - with torch and transformers' Trainer; found by name later

with contextlib.suppress(ImportError):  # private to transformers, so it may go; then the first load is 0.15 s slower
    from transformers.conversion_mapping import get_checkpoint_conversion_mapping

    get_checkpoint_conversion_mapping("bart")  # type: ignore[no-untyped-call]  # compiles and keeps a thousand regular expressions
