"""Kinds of the rbac.authorization.k8s.io group, one file each. Nothing is decided by them yet."""
