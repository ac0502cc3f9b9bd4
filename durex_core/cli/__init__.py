"""The `durex` command: one file for each of its commands."""
