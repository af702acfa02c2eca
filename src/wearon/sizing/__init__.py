"""A photo and a height become a size."""
