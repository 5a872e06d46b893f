"""A Python function as the program of a sweep: packed where it is defined, called in a process of its own."""
