"""What the cases of the suite find and is not mended yet: the case, and a part of each line that it finds.

An entry that finds its line no more fails the suite until it is taken off.
"""

KNOWN: dict[str, tuple[str, ...]] = {}
