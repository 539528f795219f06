"""What is known of implementations: expected differences, each narrow and with a reason."""
