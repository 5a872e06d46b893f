"""A call of a runner, a sweep of it, its plan."""
