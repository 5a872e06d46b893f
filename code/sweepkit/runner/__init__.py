"""A call, the sweeps of it, their plans."""
