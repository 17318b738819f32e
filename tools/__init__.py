"""Tools that make what ships with the package; not shipped themselves."""
