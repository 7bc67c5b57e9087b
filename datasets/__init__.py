"""Where events come from: seeded generators, readers of the public data, and the on-disk store."""
