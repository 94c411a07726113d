"""All that a mode chooses: one package a mode, each behind one `open`."""
