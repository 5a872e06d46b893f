"""The Optuna front end: studies as sweeps."""
