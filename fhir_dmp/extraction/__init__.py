"""The text of PDF files, read by a process of its own that may take no more than its time and its memory."""
