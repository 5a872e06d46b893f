"""Where the analysis scripts read runs from: the database, W&B, an Optuna storage, a table."""
