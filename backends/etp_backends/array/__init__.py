"""What the backends over NumPy-like array libraries share: source generation and its plan."""
