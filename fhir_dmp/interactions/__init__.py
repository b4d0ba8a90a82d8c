"""The use cases: one module for each FHIR interaction or operation."""
