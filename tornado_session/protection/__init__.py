"""From bytes to bytes that nobody else can read or forge."""
