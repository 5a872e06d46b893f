"""Watch sweeps as they go on: what changed is read, the picture is shown again, an exit code says how it ended."""
