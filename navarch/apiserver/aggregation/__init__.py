"""Group versions that other API servers answer for, each behind a Service (kube-aggregator)."""
