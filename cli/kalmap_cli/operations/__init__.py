"""What whoever runs kalmap does to stored data: take back, forget, clear away, compare."""
