"""Service proxy, cluster DNS, CNI configuration and the overlay between nodes."""
