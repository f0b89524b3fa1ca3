"""The Container Runtime Interface: client, runtimes, images."""
