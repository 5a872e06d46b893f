"""Values: the sweep YAML, its space, its rules, the training configuration.

Pure: no clock, no randomness, no logging.
"""
