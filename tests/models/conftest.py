"""Properties are checked without a clock: on a machine shared with a broker a slow example says nothing."""

from hypothesis import settings

settings.register_profile("models", deadline=None)
settings.load_profile("models")
