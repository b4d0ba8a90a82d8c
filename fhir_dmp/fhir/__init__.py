"""What a FHIR resource is: parsing, bytes, dates, paths, bundles. No I/O here."""
