"""From files to examples: tables, sources, splits, the text table."""
