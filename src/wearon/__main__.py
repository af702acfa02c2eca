"""Where the `wearon` command begins.

Nothing is imported before the command really runs.
"""


def main() -> None:
    """Run the command line."""
    from wearon.cli.app import run

    run()


if __name__ == "__main__":
    main()
