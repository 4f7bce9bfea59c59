"""Tests with a real language model: SmolLM2-135M-Instruct, as `make pocket-model` writes it."""
