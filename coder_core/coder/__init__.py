"""CODER: an image described by its similarity to every neighbour text, and classifiers on that description. Pure."""
