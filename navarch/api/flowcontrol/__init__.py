"""Kinds of the flowcontrol.apiserver.k8s.io group, one file each. Requests are not queued by them."""
