"""Kinds of the admissionregistration.k8s.io group, one file each. Nothing is called or evaluated for them: they are kept."""
