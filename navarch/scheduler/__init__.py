"""The scheduler: queue, cycle over columns, plugins."""
