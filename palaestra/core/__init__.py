"""The nouns: immutable values that every other folder speaks of."""
