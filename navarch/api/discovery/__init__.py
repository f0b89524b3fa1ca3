"""Kinds of the discovery group, one file each."""
