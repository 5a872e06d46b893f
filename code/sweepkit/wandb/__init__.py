"""Everything with W&B's server."""
