"""Neighbour texts: phrases about classes (bank), dressed in sentences, laid out in columns. No torch here."""
