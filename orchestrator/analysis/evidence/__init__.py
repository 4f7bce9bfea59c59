"""What was measured, by arm and behaviour: means, pairing, counts of answers.

Imports no other folder of `analysis`.
"""
