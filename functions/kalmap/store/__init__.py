"""Storage: states, batches and answers in tables, objects in S3. Only this folder calls AWS."""
