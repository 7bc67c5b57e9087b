"""The kind of workload "inference service": a model that answers requests, locally and behind a server."""
