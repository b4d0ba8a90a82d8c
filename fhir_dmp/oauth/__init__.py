"""The authorization server: clients, codes, grants, tokens. No web framework here, no clock: time is an argument."""
