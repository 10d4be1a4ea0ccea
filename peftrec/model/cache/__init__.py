"""What is kept of the frozen part of the network, so that it is computed once: in memory, and on disk for later runs.

states.py      the frozen part's output for the rows of a text table
vectors.py     the backbone's own vectors of a text table's rows
key.py         what that output depends on
disk.py        a table's outputs on disk
store.py       one key's outputs on disk
described.py   what a key on disk says of itself
owned.py       folders and files that are this user's alone
folder.py      all keys on disk: where they are, how large they may grow, which go first
"""
