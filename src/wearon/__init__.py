"""The WearOn worker: try-on tasks become pictures, and one photo becomes a size."""
