"""What the cluster speaks: one file per kind, an explicit registry."""
