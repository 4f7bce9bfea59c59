"""Which cell runs where and when. Pure: events in, commands out; no clock, file or network."""
