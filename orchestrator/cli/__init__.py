"""The command line: one module a group of commands, and the options they share.

May import everything below; nothing imports it.
"""
