"""What is kept of the frozen part of the network, so that it is computed once: in memory, and on disk for later runs.

states.py   the frozen part's output for the rows of a text table
key.py      what that output depends on
store.py    one key's outputs on disk
folder.py   all keys on disk: where they are, how large they may grow, which go first
"""
