"""Several Macs as one: ssh, installation, Ray on every host, checks, remote sweeps.

Runs on the user's machine; `on_host` is the other end. May import `execution` and what is below it.
"""
