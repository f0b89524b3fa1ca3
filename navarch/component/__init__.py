"""What every component needs: clock, tasks, logs, HTTP, metrics, configuration, certificates."""
