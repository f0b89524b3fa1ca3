"""Kinds of the admissionregistration.k8s.io group, one file each; apiserver/admission asks whom they name."""
