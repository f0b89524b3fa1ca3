"""What must be true of a cluster all the time. Each checker is a file of its own; `ALL` lists them."""
