"""Small models that show on a CPU, over several seeds, what each method's paper says it does."""
