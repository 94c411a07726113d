"""What delegations leave: folders, and a notebook each."""
