"""Built-in data sets, one file each; SOURCES maps a name to its loader."""
