"""Images of particles in liquid argon, as a time projection chamber with wires takes them."""
