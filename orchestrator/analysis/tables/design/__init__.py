"""T9 to T14: settings, pairing, components, planned power, claims, estimates."""
