"""What hosts are and have, asked before anything runs.

Findings for `cluster doctor`, room and time for `plan --cluster`. Imports the rest of `cluster`;
only the command line imports this.
"""
