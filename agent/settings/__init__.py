"""How settings are read: which keys there are, and what a file, the environment and the command line say about them."""
