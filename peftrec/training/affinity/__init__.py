"""Which tasks help each other, before a day is spent on finding out: see `measure`."""
