"""The sections of a report, as trees of blocks. May import `report.figures` and below."""
