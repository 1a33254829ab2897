"""Template tags and filters: `{% load downhaul %}`."""
