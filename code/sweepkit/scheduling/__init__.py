"""Retry policy and failure classes: what happens after an attempt ended. Pure, decided by tables."""
