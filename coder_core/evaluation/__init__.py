"""Predictions (which know no labels), labels, metrics and intervals: the only place where test labels are read."""
