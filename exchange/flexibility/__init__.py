"""The local flexibility market: located offers and requests, matched within network limits."""
