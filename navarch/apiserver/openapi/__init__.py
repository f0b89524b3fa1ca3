"""The API's description of itself: which operations there are, and how OpenAPI v2 and v3 write them."""
