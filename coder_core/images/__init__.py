"""Data sets: which images there are, where their bytes or features lie, and how they are decoded."""
