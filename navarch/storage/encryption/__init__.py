"""Encryption at rest, as kube-apiserver has it: what is stored begins with the provider and the name of the key."""
