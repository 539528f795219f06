"""Keras on its NumPy backend."""
