"""The controller manager and one file per controller."""
