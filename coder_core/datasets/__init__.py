"""Published data sets by name: what each is (`catalogue`), how its lists and folders are read, how it is got."""
