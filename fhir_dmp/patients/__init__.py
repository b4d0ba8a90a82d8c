"""Patients: national identity, traits, and the life of a dossier. No I/O here."""
