"""What holds for every test: properties have no time limit of their own, because machines are noisy."""

from __future__ import annotations

from hypothesis import settings

settings.register_profile("house", deadline=None)
settings.load_profile("house")
