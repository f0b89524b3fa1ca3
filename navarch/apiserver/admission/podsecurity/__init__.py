"""PodSecurity: the Pod Security Standards, as the labels of a pod's namespace ask for them (KEP-2579)."""
