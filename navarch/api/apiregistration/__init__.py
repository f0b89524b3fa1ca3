"""Kinds of the apiregistration.k8s.io group. Requests are not passed on to other servers."""
