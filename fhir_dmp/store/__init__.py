"""The stores: adapters of ports.ResourceStore. They never know each other."""
