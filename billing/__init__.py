"""Invoices, collection by account transfer and card, payments, proof of the books."""
