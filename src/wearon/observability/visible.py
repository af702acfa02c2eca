"""Text that cannot do anything to a terminal but stand there.

Outsiders choose pieces of what we write: URLs, ids, documents, error messages. A terminal obeys control characters in
them (a title, the clipboard, a screen that is cleared), format characters turn the order of what a person reads, and
what is not drawn at all makes two different texts look alike.
"""

import re
import unicodedata

_UNDRAWN = re.compile(
    "[\u034f\u115f\u1160\u17b4\u17b5\u180b-\u180f\u2800\u3164\ufe00-\ufe0f\uffa0\U000e0100-\U000e01ef]"
)
"""Letters and marks that nothing is drawn for (Unicode's Default_Ignorable_Code_Point, and the empty Braille pattern):
Python calls them printable."""


def visible(text: str, keep: str = "\n\t") -> str:
    """The text with every such character written as an escape, as Python has it; those in `keep` stay."""
    if text.isprintable() and not _UNDRAWN.search(text):
        return text
    return "".join(character if character in keep else _escaped(character) for character in text)


def _escaped(character: str) -> str:
    is_drawn = character.isprintable() and not _UNDRAWN.match(character)
    if is_drawn or unicodedata.category(character) == "Zs":  # a space of any width
        return character
    return (
        character.encode("ascii", "backslashreplace").decode() if ord(character) > 0x7F else f"\\x{ord(character):02x}"
    )
