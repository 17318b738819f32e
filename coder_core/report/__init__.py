"""What a run shows: its progress while it lasts, its summary at the end."""
