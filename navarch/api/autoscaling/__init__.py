"""Kinds of the autoscaling group, one file each."""
