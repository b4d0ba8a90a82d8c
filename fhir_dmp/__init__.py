"""fhir-dmp: the French shared medical record as a FHIR R4 server."""

__version__ = "0.1.0"
