"""What answers an HTTP request at once, and the shapes of what crosses the HTTP API."""
