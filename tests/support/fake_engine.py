"""A cluster that only is in memory: as `ClusterEngine` wants it, with room for some agents."""

from sweepkit.cluster.engine import AgentPlace, AgentState, EngineError


class FakeEngine:
    """A cluster with room for some agents; a test ends them."""

    name = "a fake"

    def __init__(self, room=2):
        self.room, self.jobs, self.submitted, self.silent = room, {}, [], False

    def check(self, job):
        if job.gpus > 2:
            raise EngineError("no node has so many GPUs")

    def submit(self, job):
        self.submitted.append(job.name)
        self.jobs.setdefault(job.name, job)

    def poll(self, names):
        order = list(self.jobs)
        states = {
            name: AgentState.RUNNING if order.index(name) < self.room else AgentState.PENDING for name in self.jobs
        }
        if self.silent:
            return {name: AgentPlace(AgentState.UNKNOWN, "no answer") for name in names}
        return {name: AgentPlace(states.get(name, AgentState.GONE)) for name in names}

    def names(self, prefix):
        return {name for name in self.jobs if name.startswith(prefix)}

    def stop(self, name):
        self.jobs.pop(name, None)
