"""The node agent: pods in the API become containers in a CRI runtime."""
