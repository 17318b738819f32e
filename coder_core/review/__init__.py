"""Reviewing texts before they are trusted: what is there, what is suspicious, and how a person reads it. Pure."""
