"""Recipes: settings that run as they are, each with its expected result at the top."""
