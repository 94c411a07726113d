"""How a file of any kind becomes rows: found, unpacked, decoded, cut into cells, given names and types."""
