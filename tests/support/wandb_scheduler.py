"""The loopback backend with what `wandb sweep-scheduler` asks besides: runs are those that the scheduler enqueues."""

import json
from collections.abc import Mapping
from typing import Any

from wandb_backend import BackendRun, BackendSweep, WandbBackend, plain


class SchedulingBackend(WandbBackend):
    """Agents of a sweep with `scheduler:` get the enqueued runs, in order; idle ones wait.

    Attributes:
        enqueued: Names of runs that no agent has taken yet.
    """

    def __init__(self) -> None:
        super().__init__()
        self.enqueued: list[str] = []

    def _op_Heartbeat(self, variables: Mapping[str, Any]) -> dict[str, Any]:
        sweep = self.sweeps[self.agents[variables["id"]]]
        if "scheduler" not in sweep.config:
            return super()._op_Heartbeat(variables)
        commands: list[dict[str, Any]] = []
        if not json.loads(variables.get("runState") or "{}"):
            if sweep.state not in ("PENDING", "RUNNING"):
                commands = [{"type": "exit"}]
            elif self.enqueued:
                sweep.state = "RUNNING"
                run = self.runs[self.enqueued.pop(0)]
                args = {key: {"value": value} for key, value in run.config.items()}
                commands = [{"type": "run", "run_id": run.name, "program": sweep.config["program"], "args": args}]
        return {"agentHeartbeat": {"agent": {"id": variables["id"]}, "commands": json.dumps(commands)}}

    def _op_ServerFeaturesQuery(self, _: Mapping[str, Any]) -> dict[str, Any]:
        return {"serverInfo": {"features": [{"name": "SWEEPS_LOCAL_SCHEDULER", "isEnabled": True}]}}

    def _op_SweepConfig(self, variables: Mapping[str, Any]) -> dict[str, Any]:
        sweep = self._of(variables)
        node = {"id": sweep.internal_id, "state": sweep.state, "config": sweep.text}
        return {"project": {"sweep": node | {"displayName": None, "controllerRunName": f"ctl-{sweep.sweep_id}"}}}

    def _op_SweepRunsWithHistory(self, variables: Mapping[str, Any]) -> dict[str, Any]:
        sweep = self._of(variables)
        return {"project": {"sweep": {"state": sweep.state, "runs": self._page(sweep)}}}

    def _op_SweepWatchedRuns(self, variables: Mapping[str, Any]) -> dict[str, Any]:
        sweep = self._of(variables)
        return {"project": {"sweep": {"state": sweep.state}, "runs": self._page(sweep)}}

    def _op_EnqueueSweepRun(self, variables: Mapping[str, Any]) -> dict[str, Any]:
        sweep = self._of({"sweep": variables["id"]})
        name = f"run{len(self.runs):05d}"
        self.runs[name] = BackendRun(name, sweep.project, sweep.sweep_id, config=plain(json.loads(variables["config"])))
        self.enqueued.append(name)
        return {"enqueueSweepRun": {"id": name, "runQueueItemId": name, "runName": name}}

    def _op_RunState(self, variables: Mapping[str, Any]) -> dict[str, Any]:
        return {"project": {"run": {"state": self.runs[variables["run"]].state}}}

    def _op_StopRun(self, _: Mapping[str, Any]) -> dict[str, Any]:
        return {"stopRun": {"success": True}}

    def _op_UpsertSweepState(self, variables: Mapping[str, Any]) -> dict[str, Any]:
        sweep = self._of({"sweep": variables["id"]})
        sweep.state = variables["state"]
        return {"upsertSweep": {"sweep": {"state": sweep.state}}}

    def _of(self, variables: Mapping[str, Any]) -> BackendSweep:
        sweep = self._sweep(variables["sweep"])
        assert sweep is not None, variables
        return sweep

    def _page(self, sweep: BackendSweep) -> dict[str, Any]:
        runs = [{"node": self._node(run)} for run in self.runs.values() if run.sweep == sweep.sweep_id]
        return {"edges": runs, "pageInfo": {"endCursor": str(len(runs)), "hasNextPage": False}}
