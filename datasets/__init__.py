"""The sources of events: seeded generators, readers of the public data, and the on-disk store."""
