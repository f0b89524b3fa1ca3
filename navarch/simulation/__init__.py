"""A cluster in one process: the real control plane, nodes that only pretend to run containers, time that can be skipped."""
