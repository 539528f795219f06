"""Hostile implementations: plugins that end, hang or abuse the process that calls them."""
