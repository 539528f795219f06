"""Scripts that show a failure outside the suite, with the implementation or its engine alone."""
