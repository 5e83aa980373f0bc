"""Day trips in a synthetic city: open-ended requests whose plans have a hidden, computable utility."""
