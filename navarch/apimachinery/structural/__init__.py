"""Structural schemas: what a CustomResourceDefinition says about its objects, and what follows for an object.

A schema is its JSON, as `spec.versions[].schema.openAPIV3Schema` has it (apiextensions.k8s.io/v1 JSONSchemaProps). Pure.
"""
