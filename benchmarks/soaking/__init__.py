"""Parts of `benchmarks/soak.py`: what is sent, what came back, what the machine shows."""
