"""The command line: verbs, each calling one function."""
