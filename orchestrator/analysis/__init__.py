"""From Arrow tables to what they support: arms, contrasts, inference, tables."""
