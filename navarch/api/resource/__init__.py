"""resource.k8s.io: devices that nodes have, and claims of pods on them (dynamic resource allocation, KEP-4381)."""
