"""The machine: memory, processes, signals, progress on stderr, files that are on the disk when we say so."""
