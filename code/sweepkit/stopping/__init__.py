"""Stopping rules: history in, a decision with a reason out. Pure."""
