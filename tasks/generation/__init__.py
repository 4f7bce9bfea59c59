"""Answers of one adapter to prompts. May import `model` and what is below it."""
