"""What turns a fork of a preloaded interpreter into a fresh process: only the standard library, Python 3.9 and later."""
