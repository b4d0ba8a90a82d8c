"""The national health identity (INS) and the life of a dossier. No I/O here."""
