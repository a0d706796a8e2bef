"""Sessions and TempData for Tornado."""
