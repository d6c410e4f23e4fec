"""The steps of a batch, one module each: adapters in, one domain call, adapters out."""
