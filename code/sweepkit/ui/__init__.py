"""The live page: every sweep of a database in a browser."""
