"""Who leads a sweep: what makes its engine, and whether its best run is what it is for."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from sweepkit.model.records import SweepRecord
from sweepkit.search.base import Engine
from sweepkit.stopping.base import StoppingRule


@dataclass(frozen=True, slots=True, kw_only=True)
class Leader:
    """Who says which configurations a sweep runs; by default the engine that its method or sampler names.

    Args:
        make_engine: Makes another engine, told nothing yet, from the sweep's record.
        at_wandb: W&B's server leads: there is no engine here, and the record says so.
        ranks: The sweep is run for its best run: the first one is looked at for parameters that it does not read, the
            end shows the best and writes its configuration and the report. False where the runs are judged elsewhere:
            the end writes their table.
        rule: Ends runs early in place of the rule that the sweep names.
        env: Variables that its runs have besides.
    """

    make_engine: Callable[[SweepRecord], Engine] | None = None
    at_wandb: bool = False
    ranks: bool = True
    rule: StoppingRule | None = None
    env: Mapping[str, str] = field(default_factory=dict)
