"""The section of a training configuration that says which result training it again must come to."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class ReproducesSection:
    """What a sweep's best run was and came to, as `best_config.yaml` has it. A training with it says whether it agrees.

    Nothing of it changes what is trained, except that `threads` stands in for OMP_NUM_THREADS where that is not set.

    Args:
        sweep: The sweep's name.
        run_id: Its best run.
        metric: The sweep's metric, e.g. "eval/rouge_combined_f1".
        value: What that run came to; a training without it has nothing to compare.
        step: The step at which the run reported that value; None when it is not known.
        state: How the run ended: "finished", or "stopped" by a rule before its last step.
        device: Where it ran, e.g. "cpu" or "cuda:0 NVIDIA H200".
        processor: The machine's processor and the instructions that torch used of it.
        threads: The threads it used.
        seed: Of everything random in it.
        config: Digest of the settings it had, so that an edited file is told from an untouched one.
        versions: The libraries it used, each as "name version".
        data: The files it read, each as "field sha256".
    """

    sweep: str | None = None
    run_id: str | None = None
    metric: str | None = None
    value: float | None = None
    step: int | None = None
    state: str | None = None
    device: str | None = None
    processor: str | None = None
    threads: int | None = None
    seed: int | None = None
    config: str | None = None
    versions: tuple[str, ...] = ()
    data: tuple[str, ...] = ()
