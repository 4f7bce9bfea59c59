"""What executes cells: in this process, or through Ray.

Only this folder runs cells and generations. Ray is also imported for its version (`run`), and by
`cluster`, which looks at a cluster's nodes.
"""
