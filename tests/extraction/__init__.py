"""The process that reads PDF files."""
