"""The record of sweeps: SQLite by default, PostgreSQL by URL, and its Optuna mirror."""
