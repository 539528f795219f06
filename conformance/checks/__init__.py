"""The checks: what is looked at, and the histories and relations that show it."""
