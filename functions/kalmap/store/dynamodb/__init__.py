"""States and batches in DynamoDB."""
