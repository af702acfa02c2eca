"""Where the `wearon` command begins.

Pool processes import this module too (that is how `spawn` works), and they must stay small: nothing is imported
before the command really runs.
"""


def main() -> None:
    """Run the command line."""
    from wearon.cli.app import run

    run()


if __name__ == "__main__":
    main()
