"""String functions under meaningless names, and what becomes of them when they are composed."""
