"""The training configuration as values."""
