"""Container images made and brought onto a node without any registry."""
