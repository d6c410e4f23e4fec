"""Lambda entry points: each decodes, makes one call into the library, and encodes."""
