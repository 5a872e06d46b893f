"""YAML, JSON and words."""
