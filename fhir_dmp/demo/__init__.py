"""The demonstration record: fictitious people, and documents written for it. Loading it twice changes nothing."""
