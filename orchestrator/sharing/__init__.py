"""What leaves this machine for others: a card beside an adapter, a data set, a hub.

May import everything below the command line.
"""
