"""The store over etcd v3, which several servers may share."""
