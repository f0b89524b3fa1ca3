"""The revisioned log and its backends."""
