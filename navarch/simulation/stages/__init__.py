"""KWOK's Stage files: what pretended nodes and pods go through, as others have already written it down."""
