"""The words of the product: enums, messages, records."""
