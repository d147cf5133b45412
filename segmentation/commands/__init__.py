"""The commands: each a function, whose signature and docstring are its command line."""
