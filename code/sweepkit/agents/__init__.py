"""Slots, warm start, attempts, signals, the worker loop."""
