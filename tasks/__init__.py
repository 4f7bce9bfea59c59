"""The node: model, data, losses, training and scoring of one cell."""
