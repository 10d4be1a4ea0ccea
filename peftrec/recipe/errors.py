"""A user's mistake, and the nearest known name to what was written."""

import difflib


class UserError(ValueError):
    """A mistake in the user's input: the message names the place, the rule, the value found, and what to do.

    The command line prints it without a traceback and exits with status 2.
    """


def nearest(name: str, known: list[str]) -> str:
    """' (did you mean X?)' for the closest known name, or the list of known names."""
    close = difflib.get_close_matches(name, known, n=1)
    return f"did you mean {close[0]!r}?" if close else f"known: {', '.join(sorted(known))}"
