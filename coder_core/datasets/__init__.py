"""Published data sets by name: what each is (`catalogue`), how its files lie (`layouts`), how it is got and looked at."""
