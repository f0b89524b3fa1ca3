"""Clients of the API: transports, client, informers, work queues, events."""
