"""Figures: their numbers and sentences first, the drawing last and only where it is wanted."""
