"""Controllers: each brings what is nearer to what is asked for, through the API alone."""
