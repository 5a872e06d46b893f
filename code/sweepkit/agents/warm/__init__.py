"""How a fork of a preloaded interpreter becomes a fresh process: the standard library alone, Python 3.9 and later."""
