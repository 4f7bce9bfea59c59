"""T7 and T8: answers to prompts by arm, frame and category."""
