"""Kubernetes' protobuf form of objects, to and from their JSON form."""
