"""The loss and how it is computed: plain, or packed where several texts share one pass.

May import `data` and what is below it; takes a loaded model as an argument.
"""
