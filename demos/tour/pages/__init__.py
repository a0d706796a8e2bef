"""The pages, one module for each way of keeping state."""
