"""The guides' checks."""
