"""Networks and losses in plain torch."""
