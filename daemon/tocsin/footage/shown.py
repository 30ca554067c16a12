"""What strangers wrote, made fit to be printed."""


def harmless(text: str) -> str:
    """Return a text in which no letter does anything to a terminal: control characters are written out."""
    return "".join(letter if letter.isprintable() else ascii(letter)[1:-1] for letter in text)


def shown(text: object, longest: int = 120) -> str:
    """Return a stranger's text fit for a terminal: no control characters, and cut beyond `longest` letters."""
    try:
        written = str(text)
    except (ValueError, RecursionError):  # a number of thousands of digits, lists in lists in lists
        return "what is too long to be shown"
    return harmless(written if len(written) <= longest else f"{written[:longest]}...")
