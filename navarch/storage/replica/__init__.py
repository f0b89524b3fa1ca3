"""A second index of the same store, in another process: it follows the log of the one that writes, and only reads."""
