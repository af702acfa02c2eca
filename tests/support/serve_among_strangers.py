"""`wearon serve` for which the internet is one loopback server: strangers' names lead there, or never answer.

python -m support.serve_among_strangers PORT [arguments of `wearon serve`]
"""

import socket
import sys
import time
from typing import Any

import httpcore

STRANGERS = ".stranger.example"
"""Names that lead to the server, as if it had a public address."""

SILENT = ".silent.example"
"""Names whose DNS server never answers: 10 s, as glibc with two tries."""

PUBLIC_ADDRESS = "93.184.216.34"


def main() -> None:
    """Run the command line with another getaddrinfo and another way out."""
    from wearon.cli.app import run

    port = int(sys.argv[1])
    ask_the_system, connect = socket.getaddrinfo, httpcore.AnyIOBackend.connect_tcp

    def getaddrinfo(host: Any, *args: Any, **options: Any) -> Any:
        if str(host).endswith(SILENT):
            time.sleep(10)
            raise socket.gaierror(socket.EAI_AGAIN, "no answer")
        if str(host).endswith(STRANGERS):
            return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (PUBLIC_ADDRESS, 0))]
        return ask_the_system(host, *args, **options)

    async def connect_tcp(self: httpcore.AnyIOBackend, host: str, _port: int, *args: Any, **options: Any) -> Any:
        assert host == PUBLIC_ADDRESS, "nobody else is there to be connected to"
        return await connect(self, "127.0.0.1", port, *args, **options)

    vars(socket)["getaddrinfo"] = getaddrinfo
    httpcore.AnyIOBackend.connect_tcp = connect_tcp  # type: ignore[method-assign, assignment]
    sys.argv = ["wearon", "serve", *sys.argv[2:]]
    run()


if __name__ == "__main__":
    main()
