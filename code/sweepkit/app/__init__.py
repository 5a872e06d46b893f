"""Argument parsing and composition, one file per entry script."""
