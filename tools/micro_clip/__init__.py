"""Train the encoder of the demonstration: random flag-like patterns, captions for them, a small CLIP."""
