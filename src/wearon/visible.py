"""Text that cannot do anything to a terminal but stand there.

Strangers choose pieces of what we write: URLs, ids, documents, error messages. A terminal obeys control characters in
them (a title, the clipboard, a screen that is cleared), and format characters turn the order of what a person reads.
"""

import unicodedata

_HIDDEN = frozenset({"Cc", "Cf", "Cs", "Zl", "Zp"})
"""Controls (C0, DEL, C1), format characters (bidirectional, of no width, tags), halves of characters, and the
separators of lines and paragraphs."""


def visible(text: str, keep: str = "\n\t") -> str:
    """The text with every such character written as an escape, as Python has it; those in `keep` stay."""
    if text.isprintable():
        return text
    return "".join(character if character in keep else _escaped(character) for character in text)


def _escaped(character: str) -> str:
    if character.isprintable() or unicodedata.category(character) not in _HIDDEN:
        return character
    return (
        character.encode("ascii", "backslashreplace").decode() if ord(character) > 0x7F else f"\\x{ord(character):02x}"
    )
