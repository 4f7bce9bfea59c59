"""The figures of a report. Numbers and texts are made at once, drawings only for HTML."""
