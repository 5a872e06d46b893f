"""Values: the sweep YAML, its space, its rules, the training configuration. Pure."""
