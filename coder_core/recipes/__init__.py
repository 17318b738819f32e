"""What follows what: each recipe is a function of a spec and a runner, and the table of contents of what it does."""
