"""Published texts: text files that circulate with papers, read into a TextBank, with a report of what did not fit."""
