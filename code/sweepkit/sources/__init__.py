"""Tables of runs, wherever they come from."""
