"""How a run appears in W&B, as a value: what an environment says before it begins, and a file after. Pure."""

from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True, kw_only=True)
class RunCard:
    """How a run appears in W&B: what its environment and a server say of it. "" for the program's word.

    Args:
        run_id: The run's id, which becomes W&B's.
        group: The group of the sweep's runs, usually its name.
        project: W&B project. With one, a script's own `project`, `entity` and `id` are ignored with a warning, as at
            W&B: two runs of one id would be one on the server.
        entity: W&B entity; "" for the user's default.
        name: Display name; "" for W&B's choice.
        sweep_id: What `wandb.run.sweep_id` answers; "" for None. With one, too, a script's own `project` and so on are
            ignored.
        job_type: W&B's job type.
        tags: W&B's tags, without commas; on a server they stand beside the program's own.
    """

    run_id: str
    group: str = ""
    project: str = ""
    entity: str = ""
    name: str = ""
    sweep_id: str = ""
    job_type: str = ""
    tags: tuple[str, ...] = ()

    @property
    def only_id(self) -> str | None:
        """Return the id that the program's run has whatever the program asks for; None where it may choose one."""
        return self.run_id if self.sweep_id or self.project else None


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordedRunCard(RunCard):
    """The same as `wandb.init` recorded it; "" for what it left out, `entity` always, which its file does not hold.

    Args:
        notes: W&B's notes.
        config: Nested, W&B's own keys left out.
    """

    notes: str = ""
    config: dict[str, Any] = field(default_factory=dict)
