"""How resources are found: parameters, queries, index terms, and what a query means. No I/O here."""
