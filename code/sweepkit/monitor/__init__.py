"""A sweep watched from outside."""
