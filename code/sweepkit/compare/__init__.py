"""Models trained with several seeds, and what is really better."""
