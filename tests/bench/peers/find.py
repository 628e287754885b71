"""Finding a figure in what another program printed."""

import re


def figure(pattern: str, text: str) -> str:
    """What the pattern's first group matches; an error that shows the text when it matches nowhere."""
    match = re.search(pattern, text, re.MULTILINE)
    if not match:
        raise ValueError(f"nothing like {pattern} in: {text[-300:]}")
    return match.group(1)
