"""What the endpoint serves to whom, apart from the server itself in `http`: pages, terms, connections."""
