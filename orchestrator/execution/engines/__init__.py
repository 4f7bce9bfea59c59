"""What executes cells: in this process, or through Ray.

Only this folder imports Ray and enters the node.
"""
