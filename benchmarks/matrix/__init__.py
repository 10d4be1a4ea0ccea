"""Runs experiments: their cells, what each measures in a process of its own, and the summary of what is finished."""
