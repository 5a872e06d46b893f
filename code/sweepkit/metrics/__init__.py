"""ROUGE that sees Hangul, and what else scores a text."""
