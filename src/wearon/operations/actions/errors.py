"""What an operator asked for cannot be done.

NotPossible   it cannot be done; the message is one line for the operator
└── NotThere  there is no such dead letter, refund, charge or session
"""


class NotPossible(Exception):
    """What was asked for cannot be done."""


class NotThere(NotPossible):
    """What was named does not exist (any more)."""
