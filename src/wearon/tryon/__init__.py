"""A task becomes a picture."""
