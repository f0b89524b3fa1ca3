"""The cluster's DNS: codec, zone, upstream and server."""
