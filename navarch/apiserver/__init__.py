"""The API server: a straight pipeline from request to store and back."""
