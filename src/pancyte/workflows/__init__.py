"""The verbs of pancyte, each one function on files."""
