"""Functions that expressions can call: one file for each library, the language's own and those of Kubernetes."""
