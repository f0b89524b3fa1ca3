"""Kinds of the authorization group, one file each."""
