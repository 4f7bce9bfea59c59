"""The node: model, data, losses, training and scoring of one cell.

The driver imports the parts that need no MLX too, e.g. `contract`, `sources` and `data`.
"""

import os

# Metal reads it once, as MLX loads. Without it macOS 26 ends long work of the GPU while a display
# is on (ml-explore/mlx issue 3267). It stands here because every module that imports MLX passes by.
os.environ.setdefault("AGX_RELAX_CDM_CTXSTORE_TIMEOUT", "1")
