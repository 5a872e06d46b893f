"""The Optuna YAML, translated into a sweep."""
