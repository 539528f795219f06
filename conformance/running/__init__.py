"""A run: blocks of cases judged, failures shrunk to their causes, all of it in one file."""
