"""What is kept outside: users' states in the table, objects in S3; all that talks to AWS."""
