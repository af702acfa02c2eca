"""The error of this package."""


class FetchError(Exception):
    """There is no picture. `reason` is fit for logs and callers: no address, no part of the URL is in it.

    `transient` tells whether trying again later may help.
    """

    def __init__(self, reason: str, *, transient: bool) -> None:
        super().__init__(reason)
        self.reason = reason
        self.transient = transient
