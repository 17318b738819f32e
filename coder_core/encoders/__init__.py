"""Encoders: what gives texts and images places in one space. The only home of open_clip."""
