"""What numbers over seeds, probe pairs and prompts support. Pure: numpy and scipy, no files.

Every test returns a frozen record with a `State`; a number that does not exist is None.
"""
