"""Services called over the network."""
