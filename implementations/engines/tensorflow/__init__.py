"""TensorFlow, eager and compiled by XLA."""
