"""Values that live until they are read."""
