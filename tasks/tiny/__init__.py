"""The `tiny` model: a Qwen2 of about a million parameters, made from the project's own texts."""
