"""Profiles for people: lists, explanations, what a profile does, its schema, and new ones."""
