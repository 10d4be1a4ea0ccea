"""Text of whoever made it, as a terminal may show it: letters that would command the terminal are written out."""

import re

# What moves the cursor, changes colours or titles, or turns the direction of reading: all controls but tab and line
# end, and Unicode's marks and overrides of direction.
_COMMANDS = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069]")


def visible(text: object) -> str:
    """The text with every control character as JSON writes it, \\u001b for ESC; so JSON stays what it says."""
    return _COMMANDS.sub(lambda found: f"\\u{ord(found[0]):04x}", str(text))
