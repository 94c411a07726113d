"""What must not be written down, and how large what is written down may be."""
