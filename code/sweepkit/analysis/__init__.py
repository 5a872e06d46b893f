"""Questions asked of a table of runs: ranking first. Pure."""
