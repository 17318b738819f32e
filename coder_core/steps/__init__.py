"""The steps of an evaluation, one file per stage, in the order of the data. Recipes say what follows what."""
