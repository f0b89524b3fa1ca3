"""Kinds of the apiregistration.k8s.io group; apiserver/aggregation hands requests on as they say."""
