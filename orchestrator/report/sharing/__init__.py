"""What leaves this machine for others: a card beside an adapter, a data set, a hub.

May import the rest of the report and everything below it.
"""
