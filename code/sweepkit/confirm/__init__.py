"""A sweep's best configurations run again with fresh seeds."""
