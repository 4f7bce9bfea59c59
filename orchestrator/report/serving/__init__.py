"""A results folder as a live page on loopback: `site` says what, `server` who may ask, `losses`.

May import everything of `report`.
"""
