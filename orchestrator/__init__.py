"""The driver: command line, grid, schedule, Ray, Arrow store and tables. Never loads MLX."""

__version__ = "0.1.0"
