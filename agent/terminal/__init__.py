"""The command line: what a person types, and what they see of a turn while it goes on."""
