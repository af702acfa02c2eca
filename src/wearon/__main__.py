"""`python -m wearon`."""

from wearon.cli import main

main()
