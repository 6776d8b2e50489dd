"""Reading a traced step: positions, hidden groups, relations, transitions, statuses."""
