"""Programs for scripted models: one file per subject, registered in `palaestra.models.scripted.PROGRAMS`."""
