"""The rules of durex, free of I/O, clocks and randomness: everything they need is an argument."""
