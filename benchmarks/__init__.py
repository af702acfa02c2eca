"""What the worker costs and how fast it is, each figure next to a reference of the same run. See README.md."""
