"""Class lists that people and programs keep outside a data set, and what changed in them since the last evaluation."""
