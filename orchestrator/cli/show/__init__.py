"""What commands print on a terminal: claims, tables, progress. Nothing here decides anything."""
