"""Kinds of the apiextensions group, one file each."""
