"""The kind of workload "training": epochs, their input, validation and inference."""
