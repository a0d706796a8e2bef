"""From attributes and text to cookies, and back."""
