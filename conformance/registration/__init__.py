"""Registration: what an implementation says of itself, and where the suite finds it."""
