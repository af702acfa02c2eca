"""The error of this package."""


class FetchError(Exception):
    """There is no picture. `reason` is fit for logs and callers: no address, no part of the URL is in it.

    `transient` tells whether trying again later may help. `says_nothing`: the server has refused in a way that says
    nothing of the picture (a right, a payment, a redirect, a page of HTML): from our own storage, that passes.
    """

    def __init__(self, reason: str, *, transient: bool, says_nothing: bool = False) -> None:
        super().__init__(reason)
        self.reason = reason
        self.transient = transient
        self.says_nothing = says_nothing
