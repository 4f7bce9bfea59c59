"""Log-probabilities of probe pairs and their summaries. May import `model` and what is below it."""
