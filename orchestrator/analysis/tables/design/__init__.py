"""T9 to T13: settings, pairing, components, planned power, claims."""
