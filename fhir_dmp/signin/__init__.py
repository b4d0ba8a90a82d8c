"""People: signing in, choosing for whom and as what, agreeing, and taking an agreement back. No web framework here."""
