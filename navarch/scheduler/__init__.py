"""The scheduler: one pod after the other, all nodes at once."""
