"""Real servers for tests and demos, from wheels that pip alone installs: MongoDB, Redis, PostgreSQL."""
