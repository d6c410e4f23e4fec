"""How `kalmap tune` fits a profile: to which readings, by which likelihood, and how good it is."""
