"""Where sessions are kept: from key to bytes, with an expiry. Knows nothing of sessions."""
