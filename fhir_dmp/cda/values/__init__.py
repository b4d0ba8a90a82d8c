"""The data types of CDA and of FHIR, one pair of functions for each. No I/O here."""
