"""End to end: real containers, the real kubectl, the official Python client."""
