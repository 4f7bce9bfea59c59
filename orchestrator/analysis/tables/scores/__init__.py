"""T1 to T6: probe scores by arm, margin and dose."""
