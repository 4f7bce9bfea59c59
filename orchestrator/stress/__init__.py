"""Finished cells answer prompts with their saved adapters, and a judge labels the answers.

May import `execution` and what is below it.
"""
