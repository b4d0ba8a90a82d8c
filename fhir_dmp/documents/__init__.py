"""IHE MHD / PDSm documents: submission, publication, life, metadata. No I/O here."""
