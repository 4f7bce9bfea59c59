"""What a contrast may ask, and about which population."""

from enum import StrEnum


class Kind(StrEnum):
    """What a contrast asks."""

    MEAN_DIFF = "mean_diff"
    ONE_SAMPLE = "one_sample"
    SD_RATIO = "sd_ratio"
    TREND = "trend"
    STRICT_MONOTONE = "strict_monotone"
    LINEARITY = "linearity"
    EQUIVALENCE = "equivalence"
    NONINFERIORITY = "noninferiority"
    PROP_DIFF = "prop_diff"
    OMNIBUS = "omnibus"
    RANK_CORRELATION = "rank_correlation"


class Population(StrEnum):
    """What an interval speaks about: the same again with new seeds, new probes, or both."""

    NEW_SEEDS = "new_seeds"
    NEW_PROBES = "new_probes"
    BOTH = "new_seeds_and_probes"
