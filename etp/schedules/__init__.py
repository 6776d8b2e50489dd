"""How a rule's numbers are computed: step programs, chunks, sequences, training loops."""
