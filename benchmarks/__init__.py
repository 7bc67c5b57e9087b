"""Machine-learning workloads of high-energy physics, and the loop that times them."""
