"""Picture bytes: decoding hostile ones, preparing them for the image model."""
