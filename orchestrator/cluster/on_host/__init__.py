"""What runs on a host of the cluster: started over ssh as `python -m`, answers in JSON on stdout.

Of the rest of `cluster` it imports `assets`, `canary`, `trust` and `wheel` only.
"""
