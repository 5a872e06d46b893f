"""A sweep past one machine: agents that an engine of the cluster places, on a record that all of them reach."""
