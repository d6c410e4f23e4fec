"""Files of other programs: how they are understood, from samples, before anything starts."""
