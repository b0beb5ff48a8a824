"""Text for a terminal that may have no way to say all of it."""

import sys


def printable(text: str) -> str:
    """With escapes for what standard output has no way to say: a file's name may be bytes of no encoding."""
    encoding = sys.stdout.encoding or "utf-8"
    return text.encode(encoding, "backslashreplace").decode(encoding)
