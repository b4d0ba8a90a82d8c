"""Measurements of the real server and of the stores: `scripts/bench`. No test of the ordinary run is here.

Rates depend on the machine and on who else uses it; ratios of figures taken alternately in one call are what counts.
"""
