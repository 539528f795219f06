"""Large cases: whole layers of networks, checked by projection and by sampling."""
