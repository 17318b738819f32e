"""Synonyms from WordNet. The only home of `wn`; the lexicon is the user's, fetched with one command."""
