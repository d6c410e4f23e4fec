"""What is kept outside: states and batches in tables, objects in S3; all that talks to AWS."""
