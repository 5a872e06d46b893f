"""What is done with sweeps that are recorded: list, show, export, remove, clean; and begin a new one, look around."""
