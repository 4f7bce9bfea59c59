"""Work with saved adapters: answers to prompts, which a judge labels, and scores of other packs.

May import `execution` and what is below it.
"""
